"""Share a model: from two domains of pictures over a run and its card to the Hub, and back on another machine."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image
from typer.testing import CliRunner, Result

from cli import app
from models.model import digest
from models.names import FILE_NAME
from tests.helpers.fake_hub import FakeHub, fake_hub, point_client
from translate.training.cards import CURVES, FIGURES, SHEET, write_card

JUDGED = {"kid_x100": 12.345, "kid_sd": 1.5, "fid": None, "rate": {"share": 0.5, "low": 0.21, "high": 0.79}}
ROW = {"networks": {"squeezenet": JUDGED}, "content": None, "white": 1.25, "n": 7}
BETTER = {**ROW, "networks": {"squeezenet": {**JUDGED, "kid_x100": 3.2}}}
REPORT = {"rows": {"untouched": ROW, "run, strength 1": BETTER}, "notes": ["Features: some."]}


def cli(*arguments: object, answer: str = "") -> Result:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    result = runner.invoke(app, [str(a) for a in arguments], input=answer)
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as server:
        point_client(monkeypatch, server.address, tmp_path / "cache")
        yield server


def picture(colour: tuple[int, int, int], seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 40, (80, 96, 3))
    return Image.fromarray((np.array(colour) + noise).astype(np.uint8))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few seconds, from a folder with a broken picture to a folder in a zip."""
    place = tmp_path_factory.mktemp("share")
    (place / "red" / "deep").mkdir(parents=True)
    for number in range(3):
        picture((180, 20, 20), number).save(place / "red" / "deep" / f"{number}.png")
        picture((20, 20, 180), number).save(place / f"{number}.png")
    (place / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with zipfile.ZipFile(place / "pair.zip", "w") as zipped:
        for number in range(3):
            zipped.write(place / f"{number}.png", f"blue/{number}.png")
    result = cli(
        "train", "--source", place / "red", "--target", place / "pair.zip" / "blue", "--out", place / "run",
        "--preset", 64, "--minutes", 0.08, "--device", "cpu", "--source-name", "red things",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "left out: broken.jpg" in result.stderr
    return place / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change, with figures and a sheet."""
    import shutil

    copy = tmp_path / "mine"
    shutil.copytree(finished, copy)
    (copy / "samples").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(copy / "samples" / "000100.png")
    (copy / FIGURES).write_text(json.dumps(REPORT))
    return copy


def test_there_and_back_again_translates_to_the_same_bytes(
    server: FakeHub, run: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def translated(model: object, name: str) -> bytes:
        target = tmp_path / name / "mine" / "out.png"
        result = cli("translate", photo, "-m", model, "-o", target, "--device", "cpu", "--steps", 3)
        assert result.exit_code == 0, result.output
        return target.read_bytes()

    before = translated(run, "before")
    result = cli("models", "push", run, "me/mine", "--licence", "cc-by-nc-4.0", "--yes")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{server.address}/me/mine\n"
    assert server.repositories["models", "me/mine"].private
    point_client(monkeypatch, server.address, tmp_path / "another machine")
    pulled = cli("models", "pull", "me/mine")
    assert pulled.exit_code == 0, pulled.output
    assert digest(Path(pulled.stdout.strip())) == digest(run / FILE_NAME)
    assert translated("me/mine", "after") == before
    assert "red things" in cli("models", "list").stdout
    shown = cli("models", "show", "me/mine").stdout
    assert shown == server.repositories["models", "me/mine"].files["README.md"].decode()


def test_the_card_tells_what_the_run_knows_and_no_place(server: FakeHub, run: Path) -> None:
    result = cli("models", "show", run)
    assert result.exit_code == 0, result.output
    text = result.stdout
    assert "--source red --source-name 'red things' --target pair.zip/blue --target-name blue" in text
    assert "--out mine --preset 64" in text
    assert "source: 3 pictures from `red`; 1 more could not be read" in text
    assert "target: 3 pictures from `pair.zip/blue`" in text
    assert "| pictures | SqueezeNet KID x100 | SqueezeNet rate | content (LPIPS) | white change | n |" in text
    assert "| run, strength 1 | 3.2 ± 1.5 | 0.50 (0.21-0.79) | - | 1.2 | 7 |" in text
    assert "Features: some." in text
    assert digest(run / FILE_NAME) in text
    assert "None was given" in text
    assert str(run.parent) not in text


def test_the_front_matter_is_what_the_hub_expects(run: Path) -> None:
    text = write_card(run / FILE_NAME, name="me/mine", licence="cc-by-nc-4.0", data="Mine: all of them.", limits="Few.")
    card = ModelCard(text).data.to_dict()
    assert (card["license"], card["library_name"]) == ("cc-by-nc-4.0", "cf-translate")
    assert card["pipeline_tag"] == "image-to-image"
    assert "Mine: all of them." in text and "## Limits\n\nFew." in text


def test_figures_of_another_state_are_not_shown(run: Path) -> None:
    os.utime(run / FIGURES, (1, 1))
    assert "older than the model" in write_card(run / FILE_NAME, name="mine")
    (run / FIGURES).write_text(json.dumps({**REPORT, "digest": "0" * 12}))
    with pytest.raises(ValueError, match="other weights"):
        write_card(run / FILE_NAME, name="mine")
    for content in ("{", "[]", '{"rows": 3}', '{"rows": {"a": {"rate": "x"}}, "notes": []}'):
        (run / FIGURES).write_text(content)
        with pytest.raises(ValueError, match=r"figures\.json is not what"):
            write_card(run / FILE_NAME, name="mine")


def test_a_model_file_alone_has_a_card_too(tiny_model: Path) -> None:
    text = write_card(tiny_model, name="me/mine")
    assert "has not said on what" in text and "Not measured" in text


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_leaves_the_machine_unasked(server: FakeHub, run: Path, answer: str) -> None:
    result = cli("models", "push", run, "me/mine", answer=answer)
    assert result.exit_code == 1
    assert "nothing was sent" in result.stderr
    assert "README.md" in result.stderr and "which only you see" in result.stderr and "# mine" in result.stderr
    assert not server.seen


def test_pictures_leave_it_only_when_told(server: FakeHub, run: Path) -> None:
    (run / CURVES).write_bytes(b"curves")
    result = cli("models", "push", run, "me/mine", answer="y\n")
    assert (result.exit_code, result.stdout) == (0, f"{server.address}/me/mine\n")
    repository = server.repositories["models", "me/mine"]
    assert {"README.md", FILE_NAME, CURVES} <= set(repository.files)
    assert not {SHEET, "data.json", "state.safetensors"} & set(repository.files)
    assert cli("models", "push", run, "me/mine", "--samples", "--yes").exit_code == 0
    assert repository.files[SHEET] == (run / "samples" / "000100.png").read_bytes()
    assert SHEET in repository.files["README.md"].decode()
    assert cli("models", "push", run, "me/mine", "--yes").exit_code == 0
    assert SHEET not in repository.files


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("push", "RUN", "mine"), 1),
        (("push", "RUN", "me/mine@v1"), 2),
        (("push", "absent", "me/mine"), 1),
        (("push", "RUN", "me/mine", "--figures", "absent.json"), 1),
        (("push", ".", "me/mine"), 1),
        (("pull", "me/absent"), 1),
        (("pull", "me"), 1),
    ],
)
def test_what_cannot_be_shared_is_one_sentence(
    server: FakeHub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("models", *(str(run) if part == "RUN" else part for part in arguments))
    assert result.exit_code == code
    if code == 1:
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    assert not server.created


def test_a_dataset_on_the_hub_can_be_trained_on(server: FakeHub, run: Path, tmp_path: Path) -> None:
    import io

    def png(colour: tuple[int, int, int]) -> bytes:
        stream = io.BytesIO()
        picture(colour, 0).save(stream, "PNG")
        return stream.getvalue()

    server.add("me/pair", {"a/1.png": png((180, 20, 20)), "b/1.png": png((20, 20, 180))}, kind="datasets")
    places = ("--source", "hf://datasets/me/pair/a", "--target", "hf://datasets/me/pair/b")
    result = cli("train", *places, "--out", tmp_path / "run", "--preset", 64, "--minutes", 0.01, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "pictures from `hf://datasets/me/pair/a`" in cli("models", "show", tmp_path / "run").stdout
    server.tampered = True
    absent = cli("train", "--target", "hf://datasets/me/absent/b", "--out", tmp_path / "no", "--preset", 64)
    assert absent.exit_code == 1 and absent.stderr.count("\n") == 1
    assert not (tmp_path / "no").exists()
