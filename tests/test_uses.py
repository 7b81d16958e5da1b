"""Making, completing and judging pictures, and removing noise: properties, and refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from models.terms.votes import VotesConfig
from models.train.curriculum import Curriculum, Phase, TrainingConfig
from translate import Translator
from translate.tasks import tiled_grad as tiles
from translate.tasks.calibration import NotCalibrated, calibrate, denoise_scale, load_stats
from translate.tasks.denoise import denoise, guess_noise
from translate.tasks.generate import Streams, generate, interpolate, sheet
from translate.tasks.inpaint import inpaint
from translate.tasks.score import score
from translate.tasks.tiled_grad import tiled_grad
from translate.tasks.typicality import PERCENTS, TypicalityStats
from translate.training.fit import Domains, fit


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
    """An untrained model that removes noise, calibrated on blobs."""
    torch.manual_seed(0)
    network = PixelConfig(coarsest=16, finest=32, width=8, max_width=16)
    energy = build(network).eval().requires_grad_(False)
    levels = (Level(16, 4, denoise_scale=8.0), Level(32, 3, denoise_scale=8.0))
    model = Model(energy, ModelConfig(network, Schedule(levels), source=None, target="blobs"))
    path = tmp_path_factory.mktemp("model") / "blobs.safetensors"
    calibrate(model, pictures()).save(path)
    return path


@pytest.fixture(scope="module")
def translator(from_noise: Path) -> Translator:
    return Translator.load(from_noise, "cpu")


@pytest.fixture(scope="module")
def generator_file(model_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that makes pictures from a density of red things, calibrated on such."""
    model = Model.load(model_files["generator"])
    assert model.density is not None
    latent = model.density.draw([torch.Generator().manual_seed(seed) for seed in range(1000, 1040)])
    red = ((model.density.pictures(latent, 64) + 1) * 127.5).round().byte().numpy()
    path = tmp_path_factory.mktemp("generator") / "red.safetensors"
    calibrate(model, red).save(path)
    return path


@pytest.fixture(scope="module")
def maker(generator_file: Path) -> Translator:
    return Translator.load(generator_file, "cpu")


@pytest.fixture(scope="module")
def paper() -> Translator:
    """A model from scratch whose chains start at noise, as in the paper."""
    torch.manual_seed(0)
    network = PixelConfig(coarsest=16, finest=32, width=8, max_width=16)
    energy = build(network).eval().requires_grad_(False)
    return Translator(Model(energy, ModelConfig(network, Schedule((Level(16, 4), Level(32, 3))))), "paper")


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


def test_the_scale_of_a_bowl_is_found(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """On E = |x|^2 / 2w around grey, grey pictures with noise lie w down their slope."""
    from translate.tasks import calibration

    monkeypatch.setattr(calibration, "energy_and_grad", lambda energy, x: (x.sum(dim=(1, 2, 3)), x / 7))
    grey = np.full((16, 3, 32, 32), 127, np.uint8)
    config = calibrate(translator.model, grey).config
    assert denoise_scale(config, 16, 0.1) == pytest.approx(7, rel=0.02)
    assert denoise_scale(config, 32, 0.07) == pytest.approx(7, rel=0.02)


def test_a_calibration_survives_the_file(from_noise: Path, generator_file: Path) -> None:
    assert denoise_scale(load_config(from_noise), 32, 0.1) > 0
    assert load_stats(load_config(generator_file)).count == 40
    assert from_noise.stat().st_size < 100_000


def test_without_calibration_and_with_a_broken_one_the_model_says_so(translator: Translator, maker: Translator) -> None:
    with pytest.raises(NotCalibrated, match="cf-translate calibrate"):
        denoise_scale(replace(translator.config, calibration={}), 32, 0.1)
    with pytest.raises(ValueError, match="cannot read"):
        denoise_scale(replace(translator.config, calibration={"scales": {"32": ["x"]}}), 32, 0.1)
    with pytest.raises(NotCalibrated, match="cf-translate calibrate"):
        load_stats(replace(maker.config, calibration={}))
    for broken in ({"means": [1]}, {**maker.config.calibration["usual"], "spreads": [0, 1]}, 3):
        with pytest.raises(ValueError, match="cannot read"):
            load_stats(replace(maker.config, calibration={"usual": broken}))
    with pytest.raises(ValueError, match="at least 16"):
        calibrate(translator.model, pictures(4))


# Generating ----------------------------------------------------------------------------------------------------------


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean())


def test_a_seed_makes_the_same_picture_in_any_company(maker: Translator, paper: Translator) -> None:
    for translator, size in ((maker, 64), (paper, 32)):
        three, one = generate(translator, 3, seed=5), generate(translator, 1, seed=6)
        assert [picture.size for picture in three] == [(size, size)] * 3
        assert apart(three[1], one[0]) < 0.5
        assert apart(three[0], three[1]) > 2


def test_the_way_between_two_pictures_begins_and_ends_with_them(maker: Translator, paper: Translator) -> None:
    for translator in (maker, paper):
        way = interpolate(translator, 3, 9, 3)
        first, last = (generate(translator, 1, seed)[0] for seed in (3, 9))
        assert apart(way[0], first) < 0.5 and apart(way[-1], last) < 0.5
        assert apart(way[1], first) > 1 and apart(way[1], last) > 1


def test_noise_between_two_streams_is_as_loud_as_they_are() -> None:
    streams = Streams.between(1, 2, torch.linspace(0, 1, 5))
    assert len(streams) == 5
    loud = streams.noise(torch.empty(5, 3, 64, 64)).std((1, 2, 3))
    torch.testing.assert_close(loud, torch.ones(5), atol=0.03, rtol=0)


def test_without_variety_pictures_of_a_kind_begin_alike(maker: Translator) -> None:
    def spread(variety: float) -> float:
        made = np.stack([np.asarray(picture) for picture in generate(maker, 6, variety=variety)]).astype(float)
        return float(made.std(axis=0).mean())

    assert spread(0) < spread(1.5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"variety": -0.1}, "between 0 and 1.5"),
        ({"variety": 2.0}, "between"),
        ({"variety": float("nan")}, "between"),
        ({"count": 257}, "1 and 256"),
    ],
)
def test_settings_out_of_range_are_refused(maker: Translator, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        generate(maker, **wrong)


def test_a_sheet_has_room_for_all() -> None:
    assert sheet([Image.new("RGB", (8, 6))] * 5, scale=2).size == (3 * 16, 2 * 12)
    assert sheet([Image.new("RGB", (64, 64))]).size == (128, 128), "small pictures are enlarged"
    assert sheet([Image.new("RGB", (256, 256))]).size == (256, 256)


def test_generate_writes_a_sheet_that_says_how_it_was_made(generator_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "s.png"
    result = run("generate", generator_file, "-n", 2, "--variety", 0.3, "-o", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    with Image.open(out) as picture:
        assert picture.size == (256, 128)
        assert json.loads(picture.info["cf-translate"])["variety"] == 0.3


# Restoring -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(33, 47), (1, 1), (5, 90), (64, 64)])
def test_any_size_comes_back_in_its_own(
    translator: Translator, maker: Translator, paper: Translator, size: tuple[int, int]
) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    assert denoise(translator, picture, 0.1).picture.size == size
    if size != (1, 1):
        for able in (maker, paper):
            assert inpaint(able, picture, (0, 0, 1, 1)).picture.size == size


def test_known_pixels_stay_bit_for_bit(maker: Translator) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (201, 333, 3), np.uint8)
    hole = rng.random((201, 333)) < 0.02
    hole[40:90, 100:180] = True
    mask = Image.fromarray((255 * hole).astype(np.uint8))
    filled = np.asarray(inpaint(maker, Image.fromarray(pixels), mask).picture)
    assert np.array_equal(filled[~hole], pixels[~hole])
    assert (filled[hole] != pixels[hole]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize("width", [80, 200])  # the density knows the one part; the other is too long for it
def test_a_hole_does_not_shine_through(maker: Translator, width: int) -> None:
    """What lies under the hole must not reach what fills it."""
    a, b = (np.full((60, width, 3), 90, np.uint8) for _ in range(2))
    b[20:40, 30:-30] = (255, 0, 0)
    box = (30, 20, width - 30, 40)
    filled = [np.asarray(inpaint(maker, Image.fromarray(pixels), box).picture) for pixels in (a, b)]
    assert np.array_equal(filled[0], filled[1])


def test_a_seed_fills_a_hole_in_one_way(maker: Translator) -> None:
    grey = Image.new("RGB", (64, 64), (90, 90, 90))
    one, same, other = (inpaint(maker, grey, (16, 16, 48, 48), seed).picture.tobytes() for seed in (1, 1, 2))
    assert one == same != other


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
def test_a_bad_mask_is_one_sentence(kind: str, words: str, generator_file: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "o.png"
    result = run("inpaint", generator_file, photo, "--mask", bad_masks(tmp_path)[kind], "-o", out, "--device", "cpu")
    assert words in sentence(result)
    assert not out.parent.exists()


def test_denoise_and_inpaint_write_pictures(
    from_noise: Path, generator_file: Path, photo: Path, tmp_path: Path
) -> None:
    result = run("denoise", from_noise, photo, "--sigma", 0.1, "-o", tmp_path / "d.png", "--json", "--device", "cpu")
    assert json.loads(result.stdout)["sigma"] == 0.1
    result = run("inpaint", generator_file, photo, "--box", "10,10,30,40", "-o", tmp_path / "i.png", "--device", "cpu")
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


def test_a_model_of_another_kind_is_refused_in_one_sentence(
    any_model: Path, from_noise: Path, generator_file: Path, photo: Path, tmp_path: Path
) -> None:
    out = ("-o", tmp_path / "o.png", "--device", "cpu")
    for model, does in ((any_model, "translates"), (from_noise, "restores")):
        for arguments in (("generate", model), ("inpaint", model, photo, "--box", "1,1,9,9")):
            told = sentence(run(*arguments, *out))
            assert does in told and "without --source and --from-noise" in told
        assert does in sentence(run("score", model, photo, "--device", "cpu"))
    for model, does in ((any_model, "translates"), (generator_file, "makes pictures")):
        told = sentence(run("denoise", model, photo, *out))
        assert does in told and "takes a model trained with --from-noise" in told
    assert not (tmp_path / "o.png").exists()


def test_wrong_use_is_exit_code_2(from_noise: Path, generator_file: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.png"
    assert run("inpaint", generator_file, photo, "-o", out).exit_code == 2
    assert run("inpaint", generator_file, photo, "--box", "1,2,3", "-o", out).exit_code == 2
    assert run("denoise", from_noise, photo, "-o", photo).exit_code == 2
    assert run("generate", generator_file, "-o", tmp_path / "o.txt").exit_code == 2
    assert "does not lie" in sentence(run("inpaint", generator_file, photo, "--box", "90,60,101,70", "-o", out))
    assert "between 1 and" in sentence(run("generate", generator_file, "-n", 0, "-o", out))
    assert "variety lies between" in sentence(run("generate", generator_file, "--variety", 9, "-o", out))


# Judging -------------------------------------------------------------------------------------------------------------


def test_either_figure_speaks_against_a_picture() -> None:
    rows = np.random.default_rng(0).normal(3, 2, (500, 2)).astype(np.float32)
    known = TypicalityStats.of(rows)
    assert np.abs(known.judge(rows).mean()) < 0.01
    assert list(known.marks) == sorted(known.marks) and len(known.marks) == len(PERCENTS)
    usual, far, blend = known.judge(np.array([[3, 3], [9, 3], [3, 15]]))
    assert far > usual + 2 and blend > usual + 2


def test_the_strange_is_stranger_than_the_usual(maker: Translator) -> None:
    usual_one = score(maker, generate_start(maker))
    halves = np.zeros((90, 64, 3), np.uint8)
    halves[:, 32:] = (255, 255, 0)
    strange = score(maker, Image.fromarray(halves))
    assert strange.unusual > usual_one.unusual + 2
    assert strange.outlier and strange.percent == 100 and "every one of the 40" in strange.words
    assert not usual_one.outlier and set(usual_one.energies) == {32, 64}


def generate_start(maker: Translator) -> Image.Image:
    """A picture like those of the calibration."""
    density = maker.model.density
    assert density is not None
    x = density.pictures(density.draw([torch.Generator().manual_seed(1007)]), 64)[0]
    return Image.fromarray(((x + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


def test_score_has_a_line_for_each_and_goes_on_after_a_bad_one(
    generator_file: Path, photo: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    result = run("score", generator_file, photo, bad, photo, "--json", "--device", "cpu")
    assert sentence(result).startswith("bad.jpg: ")
    assert result.exit_code == 3
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 2 and rows[0]["words"] == rows[1]["words"]


def test_an_uncalibrated_model_names_the_command(
    from_noise: Path, model_files: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    whole, plain, maker = Model.load(from_noise), tmp_path / "plain.safetensors", tmp_path / "maker.safetensors"
    replace(whole, config=replace(whole.config, calibration={})).save(plain)
    shutil.copyfile(model_files["generator"], maker)
    score_it, clean_it = ("score", maker, photo), ("denoise", plain, photo, "-o", tmp_path / "o.png")
    for arguments in (score_it, clean_it):
        told = sentence(run(*arguments, "--device", "cpu"))
        assert f"run: cf-translate calibrate {arguments[1]} --pictures" in told, "the path as it was given"
    folder = tmp_path / "blobs"
    folder.mkdir()
    for number, picture in enumerate(pictures(16)):
        Image.fromarray(picture.transpose(1, 2, 0)).save(folder / f"{number}.png")
    for model, arguments in ((maker, score_it), (plain, clean_it)):
        assert run("calibrate", model, "--pictures", folder).exit_code == 0
        assert run(*arguments, "--device", "cpu").exit_code == 0
    assert run("calibrate", "apple2orange", "--pictures", folder).exit_code == 2
    refused = run("calibrate", "apple2orange", "--pictures", folder, "-o", tmp_path / "a.safetensors")
    assert "without --source" in sentence(refused)
    assert "no such folder" in sentence(run("calibrate", plain, "--pictures", tmp_path / "none"))


def test_a_training_ends_with_a_calibrated_model(tmp_path: Path) -> None:
    folder, rng = tmp_path / "noise", np.random.default_rng(0)
    folder.mkdir()
    for number in range(200):
        Image.fromarray(rng.integers(0, 256, (36, 36, 3), np.uint8)).save(folder / f"{number}.png")
    levels = (Level(32, 1, step_size=1.0, luma=((1, 1.0),)),)
    shape = VotesConfig(resolutions=(32,), taps=(2,), width=4, pixel_width=4)
    config = TrainingConfig(shape, Curriculum(Schedule(levels), (Phase(1, 2),)))
    said: list[str] = []
    model = fit(Domains(str(folder), tmp_path / "run"), config, device="cpu", say=said.append)
    assert load_stats(load_config(model)).count == 20, "those that were held out"
    assert "calibrated on 20 pictures" in said
