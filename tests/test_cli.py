"""The command line: results, refusals in one sentence, exit codes."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from typer.testing import CliRunner, Result

from cli import app
from translate import __version__
from translate.images.metadata import read_provenance

CPU = ("--device", "cpu")
ROOT = Path(__file__).parents[1]


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).invoke(app, [str(a) for a in arguments])


def translate(*arguments: object) -> Result:
    return run("translate", *arguments, "--device", "cpu")


def sentence(result: Result) -> str:
    """The one line on stderr; nothing may be a traceback."""
    assert "Traceback" not in result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.strip()


def bomb() -> bytes:
    """A one-bit PNG of 10 000 x 10 000 px in some 12 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    side = (10_000).to_bytes(4, "big")
    rows = zlib.compress(bytes(10_000 * 1251), 9)
    head = chunk(b"IHDR", side + side + bytes([1, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_picture_becomes_a_picture_of_the_same_size(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    result = translate(photo, "-m", tiny_model, "-o", tmp_path / "out.png", "--strength", 1.5, "--seed", 4)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'out.png'}\n"
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (100, 75)
    made = read_provenance(tmp_path / "out.png")
    assert made is not None
    assert (made["model"], made["strength"], made["seed"]) == ("tiny", 1.5, 4)
    assert str(tmp_path) not in json.dumps(made)


def test_strength_zero_gives_the_picture_back(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    assert translate(photo, "-m", tiny_model, "-o", tmp_path / "same.png", "--strength", 0).exit_code == 0
    with Image.open(photo) as before, Image.open(tmp_path / "same.png") as after:
        assert np.array_equal(np.asarray(before.convert("RGB")), np.asarray(after))


def test_the_same_seed_gives_the_same_file(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        translate(photo, "-m", tiny_model, "-o", tmp_path / name, "--seed", 5)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_many_pictures_go_into_a_folder_and_json_has_a_line_for_each(
    tiny_model: Path, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    Image.open(photo).resize((60, 90)).save(other)
    result = translate(photo, other, "-m", tiny_model, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(row["output"]).name for row in rows] == ["disc.jpg", "other.png"]
    assert all(Path(row["output"]).exists() and len(row["energies"]) == 7 for row in rows)


def test_without_output_the_result_lies_beside_the_source(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "my.jpg"
    copy.write_bytes(photo.read_bytes())
    assert translate(copy, "-m", tiny_model).exit_code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my-tiny.jpg", "my.jpg"]
    assert copy.read_bytes() == photo.read_bytes()


def test_metadata_is_kept_on_request(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    with Image.open(photo) as picture:
        picture.save(tmp_path / "photo.jpg", exif=exif)
    for options, maker in (((), None), (("--keep-metadata",), "Maker")):
        out = tmp_path / "out.jpg"
        assert translate(tmp_path / "photo.jpg", "-m", tiny_model, "-o", out, *options).exit_code == 0
        with Image.open(out) as result:
            assert result.getexif().get(0x010F) == maker


def test_gif_and_strip(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    extras = ("--gif", tmp_path / "c.gif", "--strip", tmp_path / "s.png")
    assert translate(photo, "-m", tiny_model, "-o", tmp_path / "o.png", *extras).exit_code == 0
    with Image.open(tmp_path / "c.gif") as gif, Image.open(tmp_path / "s.png") as strip:
        assert len(list(ImageSequence.Iterator(gif))) == 8
        assert strip.width > 3 * 100
    assert translate(photo, photo, "-m", tiny_model, "-o", tmp_path, *extras).exit_code == 2


@pytest.mark.parametrize("kind", ["missing", "text", "truncated", "bomb", "empty", "folder"])
def test_a_bad_picture_is_one_sentence_and_nothing_is_written(
    kind: str, tiny_model: Path, photo: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "in" / "bad.jpg"
    bad.parent.mkdir()
    content = {"text": b"not a picture at all", "truncated": photo.read_bytes()[:800], "bomb": bomb(), "empty": b""}
    if kind in content:
        bad.write_bytes(content[kind])
    elif kind == "folder":
        bad.mkdir()
    result = translate(bad, "-m", tiny_model, "-o", tmp_path / "out" / "out.png")
    assert result.exit_code == 1
    assert sentence(result).startswith("bad.jpg: ")
    assert not (tmp_path / "out").exists()


def test_one_bad_picture_does_not_stop_the_others(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no")
    result = translate(bad, photo, "-m", tiny_model, "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert sentence(result).startswith("bad.png: ")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["disc.jpg"]


def test_two_pictures_of_one_name_do_not_overwrite_each_other(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    twin = tmp_path / "in" / "disc.jpg"
    twin.parent.mkdir()
    Image.new("RGB", (20, 20)).save(twin)
    result = translate(photo, twin, "-m", tiny_model, "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "already saved" in sentence(result)
    with Image.open(tmp_path / "out" / "disc.jpg") as kept:
        assert kept.size == (100, 75)


def test_no_output_writes_over_a_source_or_another_output(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "p.png", tmp_path / "in" / "p.png"
    there.parent.mkdir()
    for path in (here, there):
        Image.open(photo).save(path)
    before = here.read_bytes()
    for extras in (
        ("--strip", here),
        ("-o", tmp_path / "o.png", "--strip", tmp_path / "o.png"),
        ("--gif", tmp_path / "x.gif", "--strip", tmp_path / "x.gif"),
        ("--gif", tmp_path / "x.mp4"),
        ("--strip", tmp_path / "x.txt"),
    ):
        assert translate(here, "-m", tiny_model, *extras).exit_code == 2
    result = translate(there, here, "-m", tiny_model, "-o", tmp_path)
    assert result.exit_code == 1, "the one would write over the other, the other over itself"
    assert here.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "p.png"]


def test_the_source_is_never_written_over(tiny_model: Path, photo: Path) -> None:
    before = photo.read_bytes()
    result = translate(photo, "-m", tiny_model, "-o", photo)
    assert result.exit_code == 1
    assert "source" in sentence(result)
    assert photo.read_bytes() == before


def test_an_output_that_cannot_be_written_is_one_sentence(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = translate(photo, "-m", tiny_model, "-o", tmp_path / "file" / "out.png")
    assert result.exit_code == 1
    assert "file is a file, not a folder" in sentence(result)
    assert (tmp_path / "file").read_text() == "in the way"
    result = translate(photo, "-m", tiny_model, "-o", tmp_path / "out.xyz")
    assert result.exit_code == 2
    assert "for a folder write out.xyz/" in sentence(result)


@pytest.mark.parametrize("name", ["pear2plum", "evil", "foreign"])
def test_a_model_that_is_none_is_one_sentence(name: str, photo: Path, tmp_path: Path) -> None:
    if name == "evil":
        (tmp_path / "evil.safetensors").write_bytes(pickle.dumps(print))
    if name == "foreign":
        (tmp_path / "foreign.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    model = name if name == "pear2plum" else tmp_path / f"{name}.safetensors"
    result = translate(photo, "-m", model, "-o", tmp_path / "out.png")
    assert result.exit_code == 1
    assert sentence(result).startswith("error: ")
    if name == "pear2plum":
        assert "apple2orange" in result.stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "wrong", [("--strength", 9), ("--strength", -1), ("--strength", "much"), ("--steps", -1), ("--steps", 10**6)]
)
def test_wrong_usage_is_exit_code_2(wrong: tuple[str, object], tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    result = translate(photo, "-m", tiny_model, "-o", tmp_path / "out.png", *wrong)
    assert result.exit_code == 2
    assert wrong[0] in sentence(result)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("wrong", ["translate", "nonsense", "models show", "translate a.jpg -m x --nope"])
def test_wrong_usage_is_one_sentence_that_names_the_page_to_read(wrong: str) -> None:
    result = run(*wrong.split())
    assert result.exit_code == 2
    assert sentence(result).startswith("error: ")
    assert result.stderr.endswith(" --help)\n")


def test_without_a_command_there_is_the_help() -> None:
    assert "translate" in run().output
    assert "Error" not in run().output


def test_a_size_the_model_cannot_work_at_is_one_sentence(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    result = translate(photo, "-m", tiny_model, "-o", tmp_path / "out.png", "--size", 4000)
    assert result.exit_code == 1
    assert "between 16 and 128" in sentence(result)


def folder_of_pictures(path: Path, colour: tuple[int, int, int], count: int = 3) -> Path:
    path.mkdir()
    noise = np.random.default_rng(0)
    for number in range(count):
        picture = (np.array(colour) + noise.integers(0, 40, (80, 96, 3))).astype(np.uint8)
        Image.fromarray(picture).save(path / f"{number}.png")
    return path


def test_training_with_few_pictures_and_a_broken_one_gives_a_model_and_resumes(tmp_path: Path, photo: Path) -> None:
    source, target = (
        folder_of_pictures(tmp_path / "red", (180, 20, 20)),
        folder_of_pictures(tmp_path / "blue", (20, 20, 180)),
    )
    (source / "broken.jpg").write_bytes(photo.read_bytes()[:500])
    common = ("train", "--source", source, "--target", target, "--out", tmp_path / "run", "--device", "cpu")
    result = run(*common, "--preset", 64, "--minutes", 0.01)
    assert result.exit_code == 0, result.output
    assert "reading 3 pictures of blue and 4 pictures of red" in result.stderr
    assert "left out: broken.jpg" in result.stderr
    assert re.search(r"\nstopped after \d+ of 300 iterations; go on with --resume\n", result.stderr)
    assert translate(photo, "-m", tmp_path / "run", "-o", tmp_path / "out.png").exit_code == 0
    again = run(*common, "--preset", 64)
    assert again.exit_code == 1
    assert "already holds a run" in again.stderr
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert run(*common, "--resume", "--preset", 64).exit_code == 2
    swapped = run("train", "--source", target, "--target", source, "--out", tmp_path / "run", "--resume")
    assert swapped.exit_code == 1
    assert "other pictures" in swapped.stderr
    assert run(*common, "--resume", "--minutes", 0.01).exit_code == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before


def test_training_refusals_are_one_sentence_and_leave_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    full = folder_of_pictures(tmp_path / "full", (9, 9, 9), 1)
    for source, target, more in [
        (full, empty, ()),
        (empty, full, ()),
        (tmp_path / "none", full, ()),
        (full, full, ("--resume",)),
    ]:
        result = run(
            "train", "--source", source, "--target", target, "--out", tmp_path / "run", "--device", "cpu", *more
        )
        assert result.exit_code == 1
        assert sentence(result).startswith("error: ")
        assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("in the way")
    result = run("train", "--target", full, "--out", tmp_path / "file" / "run", "--device", "cpu")
    assert result.exit_code == 1
    assert "file/run: Not a directory" in sentence(result)
    for wrong in (("--preset", 99), ("--trunk", "resnet"), ("--zoom", 2)):
        assert run("train", "--target", full, "--out", tmp_path / "run", *wrong).exit_code == 2
    for options in (["--trunk", "none"], ["--resume"]):
        result = run("train", "--target", full, "--source", full, "--out", tmp_path / "run", "--shape", *options)
        assert result.exit_code == 2
        assert "shape" in sentence(result)
    result = run("train", "--target", full, "--out", tmp_path / "run", "--shape")
    assert result.exit_code == 2
    assert "--source" in sentence(result)


def test_an_interrupted_training_saves_first_and_says_how_to_go_on(tmp_path: Path) -> None:
    source, target = (
        folder_of_pictures(tmp_path / "red", (180, 20, 20)),
        folder_of_pictures(tmp_path / "blue", (20, 20, 180)),
    )
    command = [sys.executable, str(ROOT / "cli.py"), "train", "--source", source, "--target", target]
    options = ["--out", tmp_path / "run", "--preset", "64", "--device", "cpu"]
    with subprocess.Popen([str(a) for a in [*command, *options]], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "config.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.search(r"\nstopped after \d+ of 300 iterations; go on with --resume\nstopped by SIGTERM\n", errors)
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert (tmp_path / "run" / "state.safetensors").exists()


def test_models_are_listed_and_shown(tiny_model: Path) -> None:
    result = run("models", "list", "--json")
    names = [json.loads(line)["name"] for line in result.stdout.splitlines()]
    assert {"apple2orange", "orange2apple"} <= set(names)
    assert run("models", "show", "apple2orange").stdout.startswith("---")
    assert json.loads(run("models", "show", tiny_model).stdout)["energy"]["finest"] == 32
    assert run("models", "show", "pear2plum").exit_code == 1


def test_an_exported_model_keeps_its_weights_and_takes_another_strength(tiny_model: Path, tmp_path: Path) -> None:
    assert run("models", "export", tiny_model, tmp_path / "mine.safetensors", "--strength", 1.25).exit_code == 0
    shown = [json.loads(run("models", "show", path).stdout) for path in (tiny_model, tmp_path / "mine.safetensors")]
    assert shown[1] == {**shown[0], "strength": 1.25}
    for option, field, value, bad in (("--gate", "gate", 0.4, 2), ("--white-point", "white_point", 1.2, 1)):
        assert run("models", "export", tiny_model, tmp_path / "other.safetensors", option, value).exit_code == 0
        assert json.loads(run("models", "show", tmp_path / "other.safetensors").stdout)["schedule"][field] == value
        assert run("models", "export", tiny_model, tmp_path / "over.safetensors", option, bad).exit_code == 2
    levels = shown[0]["schedule"]["levels"]
    fewer = ",".join("1" for _ in levels)
    assert run("models", "export", tiny_model, tmp_path / "quick.safetensors", "--steps", fewer).exit_code == 0
    quick = json.loads(run("models", "show", tmp_path / "quick.safetensors").stdout)
    assert all(level["steps"] == 1 for level in quick["schedule"]["levels"])
    for wrong in ("1", "1,x", fewer + ",1", "-1,1"):
        assert run("models", "export", tiny_model, tmp_path / "x.safetensors", "--steps", wrong).exit_code == 2
    assert run("models", "export", tiny_model, tmp_path / "x.safetensors", "--finest", 48).exit_code == 2
    assert run("models", "export", tiny_model, tmp_path / "mine.bin").exit_code == 2
    assert run("models", "export", tiny_model, tmp_path / "zero.safetensors", "--strength", 0).exit_code == 2
    assert not {"x.safetensors", "over.safetensors", "zero.safetensors"} & {path.name for path in tmp_path.iterdir()}


def test_a_model_without_its_finest_level_is_the_coarser_one(any_model: Path, photo: Path, tmp_path: Path) -> None:
    whole = json.loads(run("models", "show", any_model).stdout)
    coarsest = whole["schedule"]["levels"][0]
    file = tmp_path / "coarse.safetensors"
    assert run("models", "export", any_model, file, "--finest", coarsest["resolution"]).exit_code == 0
    assert json.loads(run("models", "show", file).stdout)["schedule"]["levels"] == [coarsest]
    assert file.stat().st_size < any_model.stat().st_size
    assert translate(photo, "-m", file, "-o", tmp_path / "o.png").exit_code == 0


def test_a_model_from_noise_gets_no_source_by_name(model_files: dict[str, Path], tmp_path: Path) -> None:
    result = run("models", "export", model_files["denoiser"], tmp_path / "x.safetensors", "--source-name", "dogs")
    assert result.exit_code == 2
    assert "does not translate" in sentence(result)


def test_a_photo_that_does_not_look_like_the_source_is_said_to(
    model_files: dict[str, Path], domains: tuple[Image.Image, Image.Image], tmp_path: Path
) -> None:
    files = [tmp_path / "red.png", tmp_path / "blue.png"]
    for path, picture in zip(files, domains, strict=True):
        picture.save(path)
    result = translate(*files, "-m", model_files["votes"], "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["looks_like_source"] for line in result.stdout.splitlines()] == [True, False]
    assert result.stderr == "blue.png: this does not look like red things; the result may be poor\n"
    result = translate(files[1], "-m", model_files["pixels"], "-o", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["looks_like_source"] is None
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("options", "kind"),
    [((), "votes"), (("--from-noise",), "pixels"), (("--trunk", "none"), "pixels"),
     (("--source", "SOURCE", "--trunk", "none"), "pixels"), (("--source", "SOURCE", "--shape"), "votes")],
)  # fmt: skip
def test_every_kind_of_training_gives_a_model(options: tuple[str, ...], kind: str, photo: Path, tmp_path: Path) -> None:
    count = 2 if options else 80  # a density takes many
    source, target = (folder_of_pictures(tmp_path / name, (90, 20, 180), count) for name in ("a", "b"))
    given = [source if option == "SOURCE" else option for option in options]
    result = run("train", "--target", target, *given, "--out", tmp_path / "run", "--preset", 64, "--minutes", 0, *CPU)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'run' / 'model.safetensors'}\n"
    config = json.loads(run("models", "show", tmp_path / "run" / "model.safetensors").stdout)
    assert config["energy"]["kind"] == kind
    if "--source" not in options:
        assert config["source"] is None
        assert translate(photo, "-m", tmp_path / "run", "-o", tmp_path / "o.png").exit_code == 1
    card = run("models", "show", tmp_path / "run").stdout
    wanted = [option for option in options if option not in ("--source", "SOURCE")]
    assert " ".join(["--preset", "64", *wanted]) in card
    assert "settings of its own" not in card


def test_making_pictures_of_a_few_is_refused_in_one_sentence(tmp_path: Path) -> None:
    few = folder_of_pictures(tmp_path / "few", (90, 20, 180), 5)
    result = run("train", "--target", few, "--out", tmp_path / "run", "--preset", 64, *CPU)
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert "at least 64 of them to learn from, not 5" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_style_is_fitted_to_paintings_alone(photo: Path, tmp_path: Path) -> None:
    paintings = folder_of_pictures(tmp_path / "yellow", (200, 180, 20))
    common = ("train", "--style", "--target", paintings, "--out", tmp_path / "run", *CPU)
    result = run(*common, "--preset", 64)
    assert result.exit_code == 0, result.output
    assert "reading 3 pictures of yellow" in result.stderr
    config = json.loads(run("models", "show", tmp_path / "run" / "model.safetensors").stdout)
    assert (config["source"], config["target"], config["energy"]["paintings"]) == ("photos", "yellow", 3)
    assert translate(photo, "-m", tmp_path / "run", "-o", tmp_path / "out.png").exit_code == 0
    assert "train --target yellow --out run --style --preset 64" in run("models", "show", tmp_path / "run").stdout
    assert "already holds a model" in sentence(run(*common))
    for wrong in (("--source", paintings), ("--resume",), ("--shape",), ("--from-noise",), ("--minutes", 1)):
        assert run(*common, *wrong).exit_code == 2
    result = run("train", "--target", paintings, "--source", paintings, "--from-noise", "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert "--source" in sentence(result)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["translate", "PHOTO", "-m", "./modle.safetensors"], "no file or folder ./modle.safetensors"),
        (["translate", "gone.jpg", "-m", "apple2orange"], "gone.jpg: there is no such file"),
        (["score", "runs/of/catz", "PHOTO"], "no file or folder runs/of/catz"),
        (["evaluate", "apple2orange", "--source", "gone", "--target", "gone"], "gone: there is no such folder"),
        (["train", "--target", "gone", "--out", "run"], "gone: there is no such folder"),
    ],
)
def test_what_is_missing_is_said_before_torch_is_imported(arguments: list[str], words: str, photo: Path) -> None:
    arguments = [str(photo) if argument == "PHOTO" else argument for argument in arguments]
    code = (
        "import sys, typer.testing, cli; "
        f"result = typer.testing.CliRunner().invoke(cli.app, {arguments!r}); "
        "assert result.exit_code == 1 and 'torch' not in sys.modules, result; print(result.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert words in said.stdout


def test_a_result_replaces_what_was_made_here_and_nothing_else(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    mine, folder = tmp_path / "my.jpg", tmp_path / "out"
    mine.write_bytes(photo.read_bytes())
    assert translate(mine, "-m", tiny_model).exit_code == 0
    first = (tmp_path / "my-tiny.jpg").read_bytes()
    assert translate(mine, "-m", tiny_model, "--strength", 0.5).exit_code == 0
    assert (tmp_path / "my-tiny.jpg").read_bytes() != first
    folder.mkdir()
    for other in (tmp_path / "my-tiny.jpg", folder / "my.jpg"):
        other.write_bytes(photo.read_bytes())
        result = translate(mine, "-m", tiny_model, *(["-o", folder] if other.parent == folder else []))
        assert result.exit_code == 1
        assert "was not made by cf-translate" in sentence(result)
        assert other.read_bytes() == photo.read_bytes()
    assert translate(mine, "-m", tiny_model, "-o", folder / "my.jpg").exit_code == 0, "its own name was given"


def test_help_comes_quickly_and_brings_no_torch() -> None:
    code = "import cli, sys; assert not {'torch', 'gradio', 'numpy', 'PIL'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    command = [sys.executable, str(ROOT / "cli.py"), "--help"]
    before = os.times()
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    after = os.times()
    assert all(name in shown.stdout for name in ("translate", "train", "evaluate", "models"))
    # Processor time: what the clock shows depends on what else the machine does.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.5


def test_version() -> None:
    assert run("--version").stdout == f"cf-translate {__version__}\n"
