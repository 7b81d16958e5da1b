"""The web page as programs meet it: a real server on a free port, its API, and those who mean it ill."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from translate.images.metadata import read_provenance
from translate.pipeline import Translator
from translate.web.fifo_queue import Busy, FifoQueue
from translate.web.results import safe_name
from translate.web.server import check_port, without_proxies

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def address(tiny_model: Path, folder: Path) -> Iterator[str]:
    """A page of the tiny model alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        page, options = app.build([str(tiny_model)])
        _, address, _ = page.launch(server_port=free_port(), prevent_thread_lock=True, **options)
        yield address
        page.close()


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def translate(client: Client, photo: Path | str, strength: Any = 1.0) -> tuple[str, dict[str, Any]]:
    result: tuple[str, dict[str, Any]] = client.predict(
        photo=handle_file(str(photo)), direction="tiny", strength=strength, api_name="/translate"
    )
    return result


# --- what is promised --------------------------------------------------------


def test_the_example_of_the_documentation_runs(monkeypatch, tmp_path, capsys):
    """With all shipped models; the shown answers are the real ones."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    page, options = app.build()
    _, address, _ = page.launch(server_port=free_port(), prevent_thread_lock=True, **options)
    try:
        names: dict[str, Any] = {"address": address}
        exec(re.sub(r"^client\.predict", "answer = client.predict", example[1], flags=re.MULTILINE), names)
        assert names["answer"]["looks_like_source"] is False
        assert names["answer"]["advice"].startswith("This does not look like apples: expect little.")
        with Image.open(names["picture"]) as picture:
            assert picture.size == (640, 480)
        assert sum(map(int, names["details"]["steps"].split("+"))) == len(names["details"]["energies"])
        with Image.open(names["film"]) as film:
            assert film.n_frames > 5  # type: ignore[attr-defined]
    finally:
        page.close()


def test_a_picture_comes_back_in_its_own_size_and_form_and_says_how_it_was_made(client, photo):
    path, details = translate(client, photo)
    with Image.open(path) as picture:
        assert (picture.size, picture.format) == ((100, 75), "JPEG")
    made = read_provenance(path)
    assert made is not None and made["model"] == "tiny" and made["steps"] == "4+3"
    assert len(details["energies"]) == 7
    assert Path(path).name == "disc-tiny.jpg"


def test_the_same_photo_gives_the_same_picture(client, photo):
    assert Path(translate(client, photo)[0]).read_bytes() == Path(translate(client, photo)[0]).read_bytes()


def test_directions_are_those_of_the_models(client):
    assert client.predict(api_name="/directions") == [
        {"name": "tiny", "source": "noise", "target": "nothing", "strength": 1.0}
    ]


def test_the_page_asks_nobody_and_keeps_no_history(address):
    assert httpx.get(f"{address}runs").status_code == 404
    config = httpx.get(f"{address}config").json()
    assert config["analytics_enabled"] is False


@pytest.fixture
def checkout(tmp_path: Path, tiny_model: Path) -> Path:
    """The program with the tiny model alone: app.py translates an example for each direction that ships."""
    place = tmp_path / "checkout"
    for package in ("models", "translate"):
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    shutil.copy(ROOT / "app.py", place)
    (place / "models" / "weights").mkdir()
    shutil.copy(tiny_model, place / "models" / "weights" / "tiny.safetensors")
    return place


def test_both_commands_serve_and_clean_up(tmp_path, checkout, tiny_model):
    """python app.py and cf-translate app, started for real behind proxies, and ended as a host ends them."""
    ports = [free_port(), free_port()]
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path), "GRADIO_SERVER_PORT": str(ports[0])}
    environment |= {"http_proxy": "http://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9"}
    commands = [
        [sys.executable, "app.py"],
        [sys.executable, "-m", "cli", "app", "--port", str(ports[1]), "-m", str(tiny_model)],
    ]
    servers = [
        subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True)
        for command, place in zip(commands, (checkout, ROOT), strict=True)
    ]
    try:
        for server, port in zip(servers, ports, strict=True):
            assert server.stdout is not None
            assert f":{port}" in server.stdout.readline()
            with pytest.raises(OSError, match=f"port {port} is taken"):
                check_port(port)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/gradio_api/app_id", timeout=10) as answer:
                assert answer.status == 200
        assert len([path for path in tmp_path.iterdir() if path.name.startswith("cf-translate-")]) == 2
        for server in servers:
            server.send_signal(signal.SIGTERM)
        assert [server.wait(timeout=20) for server in servers] == [0, 0]
        assert not [path for path in tmp_path.iterdir() if path.name.startswith("cf-translate-")]
    finally:
        for server in servers:
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()


# --- the line ----------------------------------------------------------------


def test_the_line_serves_in_order_and_turns_away_whom_it_cannot_hold():
    turns = FifoQueue(waiting=1)
    with turns.enter() as first, turns.enter() as second:
        assert (first.ahead(), second.ahead()) == (0, 1)
        with pytest.raises(Busy, match="try again"), turns.enter():
            pass
        with turns.enter(bypass_limit=True) as third:
            assert third.ahead() == 2
    with turns.enter() as place:
        assert place.ahead() == 0


def test_whoever_leaves_the_line_makes_room():
    turns = FifoQueue(waiting=2)
    with turns.enter():
        waiting = turns.enter()
        place = waiting.__enter__()
        with turns.enter() as last:
            assert last.ahead() == 2
            waiting.__exit__(None, None, None)
            assert last.ahead() == 1
    assert place is not None


def test_one_at_a_time_and_the_rest_hear_that_it_is_busy(client, photo, monkeypatch):
    """Of fourteen at once nine find room; nobody hears anything but a result or the one sentence."""
    running, most = 0, 0
    lock = threading.Lock()
    frames = Translator.frames

    def slow(*arguments: Any, **settings: Any) -> Iterator[Any]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.4)
        yield from frames(*arguments, **settings)
        with lock:
            running -= 1

    monkeypatch.setattr(Translator, "frames", slow)

    def ask(number: int) -> str:
        try:
            return "done" if translate(client, photo)[0] else "nothing"
        except AppError as error:
            return str(error)

    with ThreadPoolExecutor(14) as pool:
        answers = list(pool.map(ask, range(14)))
    assert most == 1
    assert set(answers) == {"done", "Many people are here right now. Please try again in a minute."}
    assert answers.count("done") >= 9


# --- those who mean it ill ---------------------------------------------------


def png(width: int, height: int, *, rows: bytes | None = None) -> bytes:
    """A one-bit PNG of any size, black, in as many bytes as zlib needs; or with other rows."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    if rows is None:
        packer = zlib.compressobj(9)
        rows = b"".join(packer.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg(width: int = 60, height: int = 40) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((width, height), 60).save(stream, "JPEG")
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../../evil.txt", "evil")
    return stream.getvalue()


HOSTILE_FILES = {
    "text.jpg": b"This is no picture.",
    "empty.png": b"",
    "short.jpg": jpeg()[:300],
    "damaged.png": png(64, 64, rows=b"\0\1\2\3"),
    "bomb.png": png(10_000, 10_000),
    "huge.png": png(20_000, 20_000),
    "endless.png": png(2_000_000_000, 2_000_000_000, rows=zlib.compress(b"\0")),
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "paper.pdf.png": b"%PDF-1.7 \x80\x81",
    "archive.png": zipped(),
    "program.exe": b"MZ\x90\0" + bytes(200),
    "gif.gif": b"GIF89a" + b"\xff" * 40,
    "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9999 9999\n",
    "tiff.tif": b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 60,
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_a_hostile_file_gets_a_sentence(client, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(HOSTILE_FILES[name])
    with pytest.raises(AppError) as caught:
        translate(client, path)
    assert_sentence(str(caught.value))


def assert_sentence(text: str) -> None:
    assert 10 < len(text) < 300, text
    assert "Traceback" not in text and "upstream" not in text and str(ROOT) not in text, text


def call(address: str, name: str, data: list[Any]) -> tuple[str, Any]:
    """An endpoint's answer to raw JSON: the kind of the last event, and what it said."""
    begun = httpx.post(f"{address}gradio_api/call/{name}", json={"data": data}, timeout=20)
    if begun.status_code != 200:
        return "refused", begun.text
    event = begun.json()["event_id"]
    lines = httpx.get(f"{address}gradio_api/call/{name}/{event}", timeout=30).text.strip().splitlines()
    kind = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")][-1]
    return kind, json.loads([line.removeprefix("data: ") for line in lines if line.startswith("data: ")][-1])


META = {"meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    "value",
    [
        {"path": "/etc/passwd", **META},
        {"path": "/etc/passwd"},
        {"path": "../../../../etc/passwd", **META},
        {"path": "app.py", **META},
        {"path": "http://127.0.0.1:9/picture.jpg", **META},
        {"path": "https://example.com/picture.jpg", "url": "https://example.com/picture.jpg", **META},
        {"path": "x", "url": "data:image/png;base64,iVBORw0KGgo=", **META},
        {"path": "a\0b", **META},
        {"path": "x" * 100_000, **META},
        {"path": None, **META},
        {"path": ["a"], **META},
        {},
        [],
        17,
        "/etc/passwd",
        None,
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_photo_that_was_not_uploaded_is_never_opened(address, value):
    kind, answer = call(address, "translate", [value, "tiny", 1.0])
    assert kind in ("error", "refused")
    assert "root:" not in json.dumps(answer)
    if not isinstance(value, dict):
        assert_sentence(json.dumps(answer))


def test_a_name_of_any_script_is_kept(client, tmp_path):
    (tmp_path / "写真.jpg").write_bytes(jpeg())
    assert Path(translate(client, tmp_path / "写真.jpg")[0]).name == "写真-tiny.jpg"


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is not None, reason="HEIC can be read here")
def test_a_heic_photo_gets_a_sentence_for_visitors(client, tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300))
    with pytest.raises(AppError) as caught:
        translate(client, tmp_path / "IMG_1.HEIC")
    assert "save it as JPEG" in str(caught.value) and "pip" not in str(caught.value)


def test_proxies_are_there_again_after_the_start(monkeypatch):
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with without_proxies():
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "*"
    assert os.environ["no_proxy"] == "example.org" and "NO_PROXY" not in os.environ


@pytest.mark.parametrize("mark", [META, {}], ids=["marked", "unmarked"])
def test_a_picture_on_the_server_itself_is_never_opened(address, photo, mark):
    """Without its mark of a file, gradio lets a path pass."""
    for path in (str(photo), os.path.relpath(photo), f"{photo.parent}/../{photo.parent.name}/{photo.name}"):
        kind, answer = call(address, "translate", [{"path": path, **mark}, "tiny", 1.0])
        assert kind == "error", answer
    config = httpx.get(f"{address}config").json()
    (many,) = [d for d in config["dependencies"] if d["api_name"] == "stream_many"]
    body: dict[str, Any] = {"data": [[{"path": str(photo), **mark}], "tiny", 1, "", 0, False], "session_hash": "evil"}
    answer = httpx.post(f"{address}gradio_api/run/{many['api_name']}", json=body, timeout=30)
    assert answer.status_code >= 400 and "1 of 1" not in answer.text
    body = {"data": [{"path": str(photo), **mark}], "session_hash": "evil"}
    assert httpx.post(f"{address}gradio_api/run/look", json=body, timeout=30).status_code >= 400


def uploaded(address: str, name: str, content: bytes) -> dict[str, Any]:
    answer = httpx.post(f"{address}gradio_api/upload", files={"files": (name, content)}, timeout=20)
    return {"path": answer.json()[0], **META}


@pytest.mark.parametrize("strength", ["x", [], {}, 1e308, -1, True and "1; drop", "nan", 2.0001])
def test_odd_strengths_get_a_sentence(address, strength):
    kind, answer = call(address, "translate", [uploaded(address, "a.jpg", jpeg()), "tiny", strength])
    assert kind == "error"
    if answer:
        assert_sentence(json.dumps(answer))


@pytest.mark.parametrize("data", [[], [1], ["", "", "", "", ""], [None, None, None], [None, "../../x", 1]])
def test_calls_of_the_wrong_shape_are_refused(address, data):
    assert call(address, "translate", data)[0] in ("error", "refused")


@pytest.mark.parametrize(
    "name", ["../../../evil.jpg", "..\\evil.jpg", "/etc/cron.d/evil.jpg", "é\u202e😀.jpg", ".jpg", "-rf.jpg"]
)
def test_an_uploaded_name_leads_nowhere(address, folder, name):
    kind, answer = call(address, "translate", [uploaded(address, name, jpeg()), "tiny", 1.0])
    assert kind == "complete"
    path = Path(answer[0]["path"]).resolve()
    assert path.is_relative_to(folder.resolve()) and path.is_file()


def test_names_in_results_are_plain():
    assert safe_name("../../a b;rm -rf.jpg") == "a_b_rm_-rf"
    assert safe_name("日本 語.png") == "日本_語"
    assert safe_name("😀.png") == "picture"
    assert len(safe_name("x" * 500 + ".png")) == 60


def test_too_many_bytes_are_refused_while_they_arrive(address):
    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        for _ in range(200):
            yield bytes(1_000_000)
        yield b"\r\n--b--\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        answer = httpx.post(f"{address}gradio_api/upload", content=endless(), headers=kind, timeout=60)
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # the server hung up without hearing us out


@pytest.mark.parametrize("step", [-5, 10**9, "x", None, [], 1.5])
def test_private_endpoints_hold_against_odd_values(address, step):
    """They are hidden, not locked: anybody can call them."""
    config = httpx.get(f"{address}config").json()
    hidden = [d for d in config["dependencies"] if d["api_visibility"] == "private" and d["backend_fn"]]
    assert len(hidden) > 5
    for dependency in hidden:
        body = {"data": [step] * len(dependency["inputs"]), "fn_index": dependency["id"], "session_hash": "evil"}
        answer = httpx.post(f"{address}gradio_api/queue/join", json=body, timeout=20)
        assert answer.status_code < 600
    httpx.get(f"{address}gradio_api/app_id").raise_for_status()


@pytest.mark.parametrize(
    "path", ["app.py", "/etc/passwd", "samples/render.py", "../shared", "models/weights/apple2orange.safetensors"]
)
def test_files_of_the_project_are_not_served(address, path):
    full = str(ROOT / path) if not path.startswith("/") else path
    assert httpx.get(f"{address}gradio_api/file={full}").status_code in (403, 404)


def test_the_server_lives(client, photo):
    """Last: after all of the above."""
    assert translate(client, photo)[0]
