"""Explanations: the colours, the energy maps and the sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageCms
from typer.testing import CliRunner

from cli import app
from translate import Translator
from translate.explain import PANEL, _curves, colours, energy_fall, explain, heat, overlay
from translate.images.metadata import read_provenance
from translate.pipeline import Result


@pytest.fixture(scope="module")
def result(tiny_model: Path, photo: Path) -> Result:
    return Translator.load(tiny_model, "cpu")(photo, strength=1)


def test_equal_levels_apart_look_equally_far_apart() -> None:
    """In CIELAB: lightness rises evenly, and no step is three times as large as another."""
    row = Image.fromarray(colours(np.linspace(0.02, 1, 50))[None])
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    pixels = np.asarray(ImageCms.applyTransform(row, to_lab))[0]
    lab = np.column_stack([pixels[:, 0] / 2.55, *(pixels[:, c].astype(np.int8) for c in (1, 2))]).astype(float)
    rise = lab[5:, 0] - lab[:-5, 0]
    assert (rise > 0).all() and rise.max() < 2 * rise.min()
    apart = np.linalg.norm(lab[5:] - lab[:-5], axis=1)
    assert apart.max() < 3 * apart.min()


def test_the_energy_map_adds_up_to_the_energy(tiny_model: Path) -> None:
    translator = Translator.load(tiny_model, "cpu")
    x = torch.rand(1, 3, 32, 64) * 2 - 1
    cells = translator.energy_map(x, 1)
    assert cells.shape == (4, 8)
    assert cells.sum() / 16 == pytest.approx(float(translator.energy(x, 32)), rel=1e-4)
    assert translator.energy_map(x[..., :30, :41], 1).shape == (4, 6)


def test_every_kind_of_model_explains_itself(any_model: Path, photo: Path) -> None:
    result = Translator.load(any_model, "cpu")(photo, strength=1)
    before, after = result.energy_maps
    assert before.shape == after.shape and min(before.shape) > 1
    assert np.isfinite(energy_fall(result)).all() and energy_fall(result).any()
    assert explain(result).width > 3 * PANEL


def test_a_result_brings_its_maps(result: Result) -> None:
    before, after = result.energy_maps
    assert before.shape == after.shape == (4, 6)
    assert after.mean() < before.mean()


def test_the_fall_adds_up_over_the_levels(result: Result) -> None:
    fall = energy_fall(result)
    assert fall.shape == (4, 6)
    ends = {frame.level: frame for frame in result.frames}
    cells = result.translator.energy_map
    expected = sum((cells(end.source, level) - cells(end.state, level)).mean() for level, end in ends.items())
    assert fall.mean() == pytest.approx(expected, rel=1e-4)
    assert fall.mean() > 0


def test_the_curve_has_a_line_for_each_level_that_falls_and_says_its_ends(result: Result) -> None:
    axes = Figure().add_subplot()
    _curves(axes, result.frames)
    assert [len(np.asarray(line.get_xdata())) for line in axes.lines] == [4, 3]
    for line in axes.lines:
        heights = np.asarray(line.get_ydata(), np.float64)
        assert (heights.max(), heights.min()) == (1, 0) and heights[0] > heights[-1]
    assert {text.get_text() for text in axes.texts} == {f"{result.frames[n].energy:.2f}" for n in (0, 3, 4, 6)}


def test_nothing_moved_is_no_error(tiny_model: Path, photo: Path) -> None:
    still = Translator.load(tiny_model, "cpu")(photo, strength=0)
    assert [m.shape for m in still.energy_maps] == [(1, 1), (1, 1)]
    assert explain(still).height > 0
    assert heat(np.zeros((4, 5, 3), np.uint8), np.zeros((2, 2), np.float32)).size == (5, 4)


@pytest.mark.parametrize("size", [(100, 75), (40, 900), (1, 1)])
def test_a_sheet_holds_all_panels_of_any_picture(tiny_model: Path, size: tuple[int, int]) -> None:
    sheet = explain(Translator.load(tiny_model, "cpu")(Image.new("RGB", size, "red"), strength=1), "oranges")
    assert sheet.width > 3 * PANEL
    assert len(sheet.getcolors(1 << 24) or []) > 20


def test_an_overlay_shows_hot_places_light() -> None:
    levels = np.zeros((8, 8))
    levels[:, 4:] = 1
    drawn = np.asarray(overlay(np.full((64, 64, 3), 128, np.uint8), levels)).mean(axis=2)
    assert drawn[:, 48:].mean() > drawn[:, :16].mean() + 50


def test_the_command_writes_the_sheet(tiny_model: Path, photo: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> int:
        return (
            CliRunner()
            .invoke(app, ["translate", *map(str, arguments), "-m", str(tiny_model), "--device", "cpu"])
            .exit_code
        )

    out, why = tmp_path / "o.png", tmp_path / "folder" / "why.png"
    assert run(photo, "-o", out, "--saliency", why) == 0
    assert (read_provenance(why) or {})["model"] == "tiny"
    assert run(photo, photo, "-o", tmp_path, "--saliency", why) == 2
    assert run(photo, "-o", out, "--saliency", out) == 2
    assert run(photo, "-o", out, "--saliency", photo) == 2
    assert run(photo, "-o", out, "--saliency", tmp_path / "why.txt") == 2
