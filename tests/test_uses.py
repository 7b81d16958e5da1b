"""Generating, restoring and judging with a model that makes pictures from noise: properties, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from cli import app
from models.config import ModelConfig
from models.energy import energy_and_grad
from models.model import Model, build, load_config
from models.schedule import Level, Schedule
from models.terms.pixels import PixelConfig
from translate import Translator
from translate.tasks import restore as restoring
from translate.tasks import tiled_grad as tiles
from translate.tasks.calibration import NotCalibrated, calibrate, denoise_scale, load_stats
from translate.tasks.generate import generate, interpolate, sheet
from translate.tasks.restore import denoise, guess_noise, inpaint
from translate.tasks.score import score
from translate.tasks.tiled_grad import tiled_grad
from translate.tasks.typicality import PERCENTS, TypicalityStats, distance


def pictures(count: int = 20, size: int = 32) -> np.ndarray:
    """Soft blobs on soft grounds: (count, 3, size, size) uint8."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, :size] / size
    grounds, blobs = rng.uniform(100, 150, (2, count, 3, 1, 1))
    middles = rng.uniform(0.3, 0.7, (2, count, 1, 1, 1))
    inside = np.exp(-((x - middles[0]) ** 2 + (y - middles[1]) ** 2) * 20)
    return (grounds + (blobs - grounds) * inside).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def from_noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model without a source, calibrated on blobs."""
    torch.manual_seed(0)
    network = PixelConfig(coarsest=16, finest=32, width=8, max_width=16)
    energy = build(network).eval().requires_grad_(False)
    config = ModelConfig(network, Schedule((Level(16, 4), Level(32, 3))), source=None, target="blobs")
    path = tmp_path_factory.mktemp("model") / "blobs.safetensors"
    Model(energy, calibrate(energy, config, pictures())).save(path)
    return path


@pytest.fixture(scope="module")
def translator(from_noise: Path) -> Translator:
    return Translator.load(from_noise, "cpu")


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).invoke(app, [str(a) for a in arguments])


def sentence(result: Result) -> str:
    assert result.exit_code in (1, 3), result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.strip()


# Slopes and calibration ----------------------------------------------------------------------------------------------


def test_pieces_of_a_large_picture_fit_together(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(1, 3, 150, 131) * 2 - 1
    whole = tiled_grad(translator.energy, x, 32)
    monkeypatch.setattr(tiles, "TILE", 64)
    torch.testing.assert_close(
        tiled_grad(translator.energy, x, 32), whole, atol=1e-3 * float(whole.abs().max()), rtol=0
    )


def test_the_slope_keeps_no_graph_and_leaves_the_picture_alone(translator: Translator) -> None:
    x = torch.zeros(2, 3, 32, 32)
    energies, down = energy_and_grad(translator.energy.at(32), x)
    assert energies.shape == (2,) and down.shape == x.shape
    assert not (energies.requires_grad or down.requires_grad or x.requires_grad)


def test_the_walk_of_a_bowl_is_found(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """On E = |x|^2 / 2w around grey, grey pictures with noise lie w down their slope."""
    from translate.tasks import calibration

    monkeypatch.setattr(calibration, "energy_and_grad", lambda energy, x: (x.sum(dim=(1, 2, 3)), x / 7))
    monkeypatch.setattr(calibration, "statistics", lambda energy, schedule, x: torch.randn(len(x), 3))
    grey = np.full((16, 3, 32, 32), 127, np.uint8)
    config = calibrate(translator.energy, translator.config, grey)
    assert denoise_scale(config, 16, 0.1) == pytest.approx(7, rel=0.02)
    assert denoise_scale(config, 32, 0.07) == pytest.approx(7, rel=0.02)


def test_a_calibration_survives_the_file(from_noise: Path) -> None:
    config = load_config(from_noise)
    assert len(load_stats(config).means) == 2 * 112
    assert load_stats(config).count == 20
    assert from_noise.stat().st_size < 100_000


def test_without_calibration_and_with_a_broken_one_the_model_says_so(translator: Translator) -> None:
    with pytest.raises(NotCalibrated, match="cf-translate calibrate"):
        denoise_scale(replace(translator.config, calibration={}), 32, 0.1)
    with pytest.raises(ValueError, match="cannot read"):
        denoise_scale(replace(translator.config, calibration={"walks": {"32": ["x"]}}), 32, 0.1)
    with pytest.raises(ValueError, match="cannot read"):
        load_stats(replace(translator.config, calibration={**translator.config.calibration, "usual": {"means": [1]}}))
    with pytest.raises(ValueError, match="at least 16"):
        calibrate(translator.energy, translator.config, pictures(4))


# Generating ----------------------------------------------------------------------------------------------------------


def test_a_seed_makes_the_same_picture_in_any_company(translator: Translator) -> None:
    three, one = generate(translator, 3, seed=5), generate(translator, 1, seed=6)
    assert [picture.size for picture in three] == [(32, 32)] * 3
    difference = np.asarray(three[1]).astype(int) - np.asarray(one[0])
    assert np.abs(difference).max() <= 1
    assert np.asarray(three[0]).tobytes() != np.asarray(three[1]).tobytes()


def test_the_way_between_two_pictures_begins_and_ends_with_them(translator: Translator) -> None:
    way = interpolate(translator, 3, 9, 3)
    for end, seed in ((way[0], 3), (way[-1], 9)):
        alone = generate(translator, 1, seed)[0]
        assert np.abs(np.asarray(end).astype(int) - np.asarray(alone)).max() <= 1


def test_a_sheet_has_room_for_all() -> None:
    assert sheet([Image.new("RGB", (8, 6))] * 5, scale=2).size == (3 * 16, 2 * 12)


def test_generate_writes_a_sheet(from_noise: Path, tmp_path: Path) -> None:
    assert run("generate", from_noise, "-n", 2, "-o", tmp_path / "a" / "s.png", "--device", "cpu").exit_code == 0
    with Image.open(tmp_path / "a" / "s.png") as picture:
        assert picture.size == (128, 64)


# Restoring -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(33, 47), (1, 1), (5, 90), (64, 64)])
def test_any_size_comes_back_in_its_own(translator: Translator, size: tuple[int, int]) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    assert denoise(translator, picture, 0.1).picture.size == size
    if size != (1, 1):
        assert inpaint(translator, picture, (0, 0, 1, 1)).picture.size == size


def test_known_pixels_stay_bit_for_bit(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "STEPS", 2)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (201, 333, 3), np.uint8)
    hole = rng.random((201, 333)) < 0.02
    hole[40:90, 100:180] = True
    mask = Image.fromarray((255 * hole).astype(np.uint8))
    filled = np.asarray(inpaint(translator, Image.fromarray(pixels), mask).picture)
    assert np.array_equal(filled[~hole], pixels[~hole])
    assert (filled[hole] != pixels[hole]).any(axis=-1).mean() > 0.9


def test_a_hole_does_not_shine_through(translator: Translator) -> None:
    """What lies under the hole must not reach what fills it."""
    a, b = (np.full((60, 80, 3), 90, np.uint8) for _ in range(2))
    b[20:40, 30:50] = (255, 0, 0)
    box = (30, 20, 50, 40)
    filled = [np.asarray(inpaint(translator, Image.fromarray(pixels), box).picture) for pixels in (a, b)]
    assert np.array_equal(filled[0], filled[1])


def test_noise_is_guessed(translator: Translator) -> None:
    rng = np.random.default_rng(0)
    ground = np.linspace(60, 190, 200)[None, :, None] * np.ones((150, 1, 3))
    for sigma in (0.02, 0.05, 0.1):
        noisy = (ground + rng.normal(0, 255 * sigma, ground.shape)).round().clip(0, 255).astype(np.uint8)
        assert guess_noise(noisy) == pytest.approx(sigma, rel=0.1)
    assert guess_noise(ground.astype(np.uint8)) < 0.004
    assert guess_noise(np.zeros((1, 1, 3), np.uint8)) == 0
    clean = Image.fromarray(ground.astype(np.uint8))
    assert denoise(translator, clean).picture.tobytes() == clean.tobytes()


def bad_masks(folder: Path) -> dict[str, Path]:
    made = {
        "small": Image.new("L", (10, 10), 255), "white": Image.new("L", (100, 75), 255),
        "black": Image.new("L", (100, 75), 0), "colour": Image.new("RGB", (100, 75), (255, 0, 0)),
    }  # fmt: skip
    for name, mask in made.items():
        mask.save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in made}


@pytest.mark.parametrize(
    ("kind", "words"),
    [("small", "10 x 10"), ("white", "whole picture"), ("black", "no hole"), ("colour", "colours")],
)
def test_a_bad_mask_is_one_sentence(kind: str, words: str, from_noise: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "o.png"
    result = run("inpaint", from_noise, photo, "--mask", bad_masks(tmp_path)[kind], "-o", out, "--device", "cpu")
    assert words in sentence(result)
    assert not out.parent.exists()


def test_denoise_and_inpaint_write_pictures(from_noise: Path, photo: Path, tmp_path: Path) -> None:
    result = run("denoise", from_noise, photo, "--sigma", 0.1, "-o", tmp_path / "d.png", "--json", "--device", "cpu")
    assert json.loads(result.stdout)["sigma"] == 0.1
    result = run("inpaint", from_noise, photo, "--box", "10,10,30,40", "-o", tmp_path / "i.png", "--device", "cpu")
    assert result.stdout == f"{tmp_path / 'i.png'}\n"
    with Image.open(photo) as before, Image.open(tmp_path / "i.png") as after:
        pixels, filled = np.asarray(before.convert("RGB")), np.asarray(after)
    outside = np.ones((75, 100), bool)
    outside[10:40, 10:30] = False
    assert np.array_equal(pixels[outside], filled[outside])


def test_a_missing_picture_is_reported_before_the_model_is_questioned(tiny_model: Path, tmp_path: Path) -> None:
    gone, out = tmp_path / "gone.jpg", ("-o", tmp_path / "o.png")
    for arguments in (
        ("score", tiny_model, gone),
        ("denoise", tiny_model, gone, *out),
        ("inpaint", tiny_model, gone, "--box", "1,1,9,9", *out),
        ("translate", gone, "-m", tmp_path / "none.safetensors", *out),
    ):
        assert sentence(run(*arguments)).removeprefix("error: ") == "gone.jpg: there is no such file"


@pytest.mark.parametrize("sigma", [5, 0, -1, "nan"])
def test_a_senseless_noise_is_one_sentence(sigma: object, from_noise: Path, photo: Path, tmp_path: Path) -> None:
    result = run("denoise", from_noise, photo, "--sigma", sigma, "-o", tmp_path / "o.png", "--device", "cpu")
    assert "share of the full range" in sentence(result)


def test_a_translating_model_is_refused_in_one_sentence(any_model: Path, photo: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "o.png", "--device", "cpu")
    for arguments in (
        ("generate", any_model),
        ("denoise", any_model, photo),
        ("inpaint", any_model, photo, "--box", "1,1,9,9"),
    ):
        assert "without a source folder" in sentence(run(*arguments, *out))
    assert "without a source folder" in sentence(run("score", any_model, photo, "--device", "cpu"))
    assert not (tmp_path / "o.png").exists()


def test_wrong_use_is_exit_code_2(from_noise: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.png"
    assert run("inpaint", from_noise, photo, "-o", out).exit_code == 2
    assert run("inpaint", from_noise, photo, "--box", "1,2,3", "-o", out).exit_code == 2
    assert run("denoise", from_noise, photo, "-o", photo).exit_code == 2
    assert run("generate", from_noise, "-o", tmp_path / "o.txt").exit_code == 2
    assert "does not lie" in sentence(run("inpaint", from_noise, photo, "--box", "90,60,101,70", "-o", out))
    assert "between 1 and" in sentence(run("generate", from_noise, "-n", 0, "-o", out))


# Judging -------------------------------------------------------------------------------------------------------------


def test_far_is_far_on_either_side_and_a_high_energy_is_stranger_than_a_low_one() -> None:
    rows = np.random.default_rng(0).normal(3, 2, (500, 112)).astype(np.float32)
    known = TypicalityStats.of(rows)
    assert np.abs(known.judge(rows).mean()) < 0.01
    assert list(known.marks) == sorted(known.marks) and len(known.marks) == len(PERCENTS)
    usual_row = np.full((1, 112), 3, np.float32)
    assert distance(usual_row - 2, usual_row[0], usual_row[0]) == distance(usual_row + 2, usual_row[0], usual_row[0])
    low, high = usual_row.copy(), usual_row.copy()
    low[:, :16], high[:, :16] = 1, 5
    assert known.judge(high) > known.judge(low)


def test_the_strange_is_stranger_than_the_usual(translator: Translator) -> None:
    usual_one = score(translator, Image.fromarray(pictures()[3].transpose(1, 2, 0)))
    halves = np.zeros((90, 64, 3), np.uint8)
    halves[:, 32:] = (255, 255, 0)
    strange = score(translator, Image.fromarray(halves))
    assert strange.unusual > usual_one.unusual + 2
    assert strange.outlier and strange.percent == 100 and "every one of the 20" in strange.words
    assert not usual_one.outlier and set(usual_one.energies) == {16, 32}


def test_score_has_a_line_for_each_and_goes_on_after_a_bad_one(from_noise: Path, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    result = run("score", from_noise, photo, bad, photo, "--json", "--device", "cpu")
    assert sentence(result).startswith("bad.jpg: ")
    assert result.exit_code == 3
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 2 and rows[0]["words"] == rows[1]["words"]


def test_an_uncalibrated_model_names_the_command(from_noise: Path, photo: Path, tmp_path: Path) -> None:
    whole, plain = Model.load(from_noise), tmp_path / "plain.safetensors"
    replace(whole, config=replace(whole.config, calibration={})).save(plain)
    for refused in (
        run("score", plain, photo, "--device", "cpu"),
        run("denoise", plain, photo, "-o", tmp_path / "o.png", "--device", "cpu"),
    ):
        assert f"run: cf-translate calibrate {plain} --pictures" in sentence(refused), "the path as it was given"
    folder = tmp_path / "blobs"
    folder.mkdir()
    for number, picture in enumerate(pictures(16)):
        Image.fromarray(picture.transpose(1, 2, 0)).save(folder / f"{number}.png")
    assert run("calibrate", plain, "--pictures", folder).exit_code == 0
    assert run("score", plain, photo, "--device", "cpu").exit_code == 0
    assert run("calibrate", "apple2orange", "--pictures", folder).exit_code == 2
    refused = run("calibrate", "apple2orange", "--pictures", folder, "-o", tmp_path / "a.safetensors")
    assert "without a source folder" in sentence(refused)
    assert "no such folder" in sentence(run("calibrate", plain, "--pictures", tmp_path / "none"))
