"""The Space and the image: what is put into them, how they are described, and the way to the Hub, against a server of
our own on this machine."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PUBLISH = ROOT / "space" / "publish.py"
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {r.name: r for r in (Requirement(line) for line in lines if line and not line.startswith("#"))}


DECLARED = requirements(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"])
WANTED = requirements((ROOT / "space" / "requirements.txt").read_text(encoding="utf-8").splitlines())


def run(arguments: list[str], answer: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PUBLISH), *arguments],
        input=answer, text=True, capture_output=True, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space")
    assert run(["--into", str(folder)]).returncode == 0
    return folder


class Hub(BaseHTTPRequestHandler):
    """The four routes of the Hub that an upload takes; it holds one Space, with one file of old."""

    made: dict[str, Any]
    files: dict[str, bytes]
    deleted: list[str]

    def do_GET(self) -> None:
        self.body()
        if "/tree/" in self.path:
            self.answer([{"type": "file", "path": "old.py", "size": 1, "oid": "0" * 40}])
        else:
            self.answer({"id": "me/space", "sha": "0" * 40, "siblings": [{"rfilename": "old.py"}], "private": True})

    def do_POST(self) -> None:
        body = self.body()
        if self.path.endswith("/repos/create"):
            type(self).made = json.loads(body)
            self.answer({"url": f"http://{self.headers['Host']}/spaces/me/space"})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self.answer({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    self.deleted.append(line["value"]["path"])
            address = f"http://{self.headers['Host']}/spaces/me/space/commit/1"
            self.answer({"commitUrl": address, "commitOid": "1" * 40})
        else:
            self.answer({})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, type[Hub]]]:
    handler = type("OneHub", (Hub,), {"made": {}, "files": {}, "deleted": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


def test_the_space_is_uploaded_whole_and_what_is_old_goes(hub, assembled, tmp_path):
    address, seen = hub
    done = run(["me/space", "--private", "--yes"], HF_ENDPOINT=address, HF_HOME=str(tmp_path), HF_TOKEN="hf_x")
    assert done.returncode == 0, done.stderr
    assert seen.made["sdk"] == "gradio" and seen.made["type"] == "space"
    files = {path.relative_to(assembled).as_posix() for path in assembled.rglob("*") if path.is_file()}
    assert set(seen.files) == files
    assert all(content == (assembled / name).read_bytes() for name, content in seen.files.items())
    assert seen.deleted == ["old.py"]


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_leaves_the_machine_unasked(hub, tmp_path, answer):
    address, seen = hub
    done = run(["me/space"], answer, HF_ENDPOINT=address, HF_HOME=str(tmp_path), HF_TOKEN="hf_x")
    assert done.returncode == 1
    assert "Nothing was sent." in done.stdout + done.stderr
    assert not seen.made and not seen.files


def test_what_the_hub_refuses_is_one_sentence(tmp_path):
    done = run(["me/space", "--yes"], HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path), HF_TOKEN="hf_x")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the Space could not be updated") and done.stderr.count("\n") == 1


def test_the_space_has_all_that_the_page_imports(assembled):
    """In a process of its own, so that nothing comes from the checkout."""
    code = "import app; page, options = app.build(['apple2orange']); print(app.__file__)"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=assembled, text=True, capture_output=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == assembled


def test_the_space_holds_nothing_else(assembled):
    kinds = {path.suffix for path in assembled.rglob("*") if path.is_file()}
    assert kinds <= {".py", ".md", ".json", ".jpg", ".safetensors", ".txt", ""}
    assert not list(assembled.rglob(".*"))


def test_the_front_matter_is_what_the_hub_expects(assembled):
    card = SpaceCard((assembled / "README.md").read_text(encoding="utf-8")).data.to_dict()
    assert card["sdk"] == "gradio" and card["app_file"] == "app.py"
    assert isinstance(card["sdk_version"], str) and isinstance(card["python_version"], str)
    assert DECLARED["gradio"].specifier.contains(card["sdk_version"])
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"gradio=={card['sdk_version']}\n" in pins
    assert len(card["short_description"]) <= 60


def test_the_space_asks_for_what_the_project_asks_for():
    assert "gradio" not in WANTED
    for name, requirement in WANTED.items():
        assert requirement.specifier == DECLARED[name].specifier


# --- the image ---------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def test_the_image_runs_as_a_numeric_user_and_says_how_it_is():
    found = instructions()
    users = [value for name, value in found if name == "USER"]
    assert users and re.fullmatch(r"[1-9]\d*(:\d+)?", users[-1])
    names = [name for name, _ in found]
    assert "HEALTHCHECK" in names and ("EXPOSE", "7860") in found
    assert names.index("HEALTHCHECK") < names.index("CMD") and found[-1][1].startswith("[")


def test_the_image_fetches_nothing_but_packages_and_names_no_place():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert not [value for name, value in instructions() if name == "ADD"]
    assert re.findall(r"https?://(?!127\.0\.0\.1)\S+", text) == []


def test_what_is_copied_into_the_image_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for name, value in instructions():
        if name == "COPY":
            for source in [part for part in value.split()[:-1] if not part.startswith("--")]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignored or any(i.startswith(f"!{source.rstrip('/')}") for i in ignored), source
