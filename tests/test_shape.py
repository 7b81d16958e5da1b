"""Shapes that move: flows, chains that bend, and pictures bent at full size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from torch import Tensor

from models.checkpoint import ModelConfig, load_model, save_model
from models.energy import EnergyFunction
from models.langevin import Step, chain, climb, enlarge, from_tone, light, to_tone, tone_pyramid
from models.presets import preset
from models.schedule import Ladder, Stage, ladder_from_dict
from models.shape import smoothed, warped
from models.training import config_from_dict
from translate import Translator, bending, engine
from translate.bending import bend
from translate.cards import _command
from translate.engine import Result
from translate.film import Film
from translate.frames import Frame, make_strip, save_gif
from translate.saliency import explain

SIZES = [(16, 16), (33, 50), (70, 21), (1, 1), (2, 300)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def shift(across: float, down: float, height: int, width: int) -> Tensor:
    """The flow that looks so many pixels to the right and below."""
    pixels = torch.tensor([across, down]).view(1, 2, 1, 1)
    return (2 * pixels / min(height, width)).expand(1, 2, height, width).contiguous()


# Flows ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_no_flow_gives_the_picture_back_to_the_bit_and_still_has_a_slope(size: tuple[int, int]) -> None:
    picture = noise(2, 3, *size)
    flow = torch.zeros(2, 2, *size, requires_grad=True)
    same = warped(picture, flow)
    assert torch.equal(same, picture)
    (slope,) = torch.autograd.grad((same * noise(2, 3, *size, seed=1)).sum(), flow)
    assert min(size) < 3 or slope.abs().max() > 0


@pytest.mark.parametrize("size", [(16, 16), (20, 50), (50, 20)])
def test_a_constant_flow_moves_a_picture_by_that_many_pixels_both_ways(size: tuple[int, int]) -> None:
    picture = noise(1, 3, *size)
    moved = warped(picture, shift(3, -2, *size))
    torch.testing.assert_close(moved[..., 2:, :-3], picture[..., :-2, 3:], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[..., 2:, -3:], picture[..., :-2, -3:].flip(-1), atol=1e-5, rtol=0)


def test_a_flow_is_the_same_at_all_resolutions() -> None:
    """A slope of grey, twice as large: a flow of 0.25 moves it by an eighth of its sides."""
    for side in (16, 32):
        picture = ((torch.arange(side) + 0.5) / side).expand(1, 1, side, side).contiguous()
        flow = torch.zeros(1, 2, side, side)
        flow[:, 0] = 0.25
        moved = (warped(picture, flow) - picture)[..., : side // 2]
        torch.testing.assert_close(moved, torch.full_like(moved, 1 / 8))


def test_smoothing_spreads_evenly_keeps_what_is_even_and_leads_downhill() -> None:
    even = torch.full((1, 2, 20, 33), 0.7)
    torch.testing.assert_close(smoothed(even, 2.0), even)
    dot = torch.zeros(1, 2, 21, 41)
    dot[0, 0, 10, 20] = 1.0
    spread = smoothed(dot, 2.0)[0]
    assert not spread[1].any(), "across and down do not mix"
    torch.testing.assert_close(spread[0], spread[0].flip(0))
    torch.testing.assert_close(spread[0, :, 10:31], spread[0, :, 10:31].T)
    assert spread[0].sum().item() == pytest.approx(1)
    slope = noise(1, 2, 24, 24)
    assert (slope * smoothed(slope, 2.0)).sum() > 0


# Chains --------------------------------------------------------------------------------------------------------------


def blob(down: float, across: float, height: int = 16, width: int = 16) -> Tensor:
    """A soft light spot on a dark ground, its centre in units of the short side."""
    side = min(height, width)
    y, x = (torch.arange(height) + 0.5) / side, (torch.arange(width) + 0.5) / side
    near = torch.exp(-((y[:, None] - down).square() + (x - across).square()) / (2 * 0.12**2))
    return (near - 0.8).expand(1, 3, height, width).contiguous()


def centre(picture: Tensor) -> Tensor:
    """Where the light of a picture (1, 3, h, w) lies on average, down and across, in pixels."""
    light = picture[0].mean(0) + 0.8
    places = torch.stack(torch.meshgrid(*map(torch.arange, light.shape), indexing="ij")).float()
    return (places * light).sum((1, 2)) / light.sum()


def apart(target: Tensor) -> EnergyFunction:
    return lambda x: (x - target).square().mean(dim=1).sum(dim=(1, 2)) / 16


TINY = Ladder((Stage(16, 30, 0.2),), bend=10.0)  # colours hardly move


@pytest.mark.parametrize("shape", [(16, 16), (16, 32), (32, 16)])
def test_a_spot_wanders_to_where_the_energy_wants_it(shape: tuple[int, int]) -> None:
    source, target = blob(0.4, 0.45, *shape), blob(0.6, 0.6, *shape)
    tones = to_tone(source, TINY.reach)
    steps = list(climb(lambda _: apart(target), TINY, tones, [tones]))
    energies = [step.energy.item() for step in steps]
    assert all(late < early for early, late in pairwise(energies))
    assert energies[-1] < 0.5 * energies[0]
    flow = steps[-1].flow
    assert flow is not None and not flow.requires_grad and flow.shape == (1, 2, *shape)
    way = centre(target) - centre(source)
    gone = centre(warped(source, flow)) - centre(source)
    assert (gone / way > 0.5).all() and (gone / way < 1.2).all(), "both ways alike, whatever the picture's form"
    *_, still = climb(lambda _: apart(target), replace(TINY, bend=0.0), tones, [tones])
    assert still.energy > 2 * steps[-1].energy, "colours alone do not get there in so many steps"


def test_a_step_bends_a_larger_picture_by_as_many_pixels() -> None:
    """A spot in the corner of a picture of twice the size: the energy there is the same, and so is the way."""
    one = Ladder((Stage(16, 1, 0.2),), bend=10.0)
    ways = []
    for side in (16, 32):
        source = torch.nn.functional.pad(blob(0.5, 0.45), (0, side - 16, 0, side - 16), value=-0.8)
        target = torch.nn.functional.pad(blob(0.5, 0.6), (0, side - 16, 0, side - 16), value=-0.8)
        tones = to_tone(source, one.reach)
        *_, last = climb(lambda _, target=target: apart(target), one, tones, [tones])  # type: ignore[misc]
        assert last.flow is not None
        ways.append(last.flow[0, :, 8, 8] * side / 2)
    torch.testing.assert_close(*ways, rtol=0.02, atol=1e-4)


def curved(x: Tensor) -> Tensor:
    """An energy of many slopes: neighbours' products, and the pixels' own."""
    return (x[..., 1:] * x[..., :-1]).sum(dim=(1, 2, 3)) / 8 + x.sum(dim=(1, 2, 3)) / 16


TWO = Ladder((Stage(8, 3, 0.5), Stage(16, 2, 0.5)), shade=0.4)


def test_without_bend_the_chain_is_what_it_was_and_has_no_flow() -> None:
    x = noise(2, 3, 16, 24)
    sources = tone_pyramid(x, TWO)
    steps = list(climb(lambda _: curved, TWO, sources[0], sources))
    assert all(step.flow is None for step in steps)
    z, expected = sources[0], list[Tensor]()
    for number, (stage, source) in enumerate(zip(TWO.stages, sources, strict=True)):
        z = source + enlarge(z - sources[number - 1]) if number else z
        lit = light(from_tone(source, TWO.reach), TWO.shade)
        expected += [z for z, _ in chain(curved, z, stage.steps, stage.step_size, reach=TWO.reach, lit=lit)]
        z = expected[-1]
    assert all(torch.equal(step.z, z) for step, z in zip(steps, expected, strict=True))
    # A flow that does not move is a chain that does not bend, but for rounding.
    barely = list(climb(lambda _: curved, replace(TWO, bend=1e-9), sources[0], sources))
    for step, other in zip(steps, barely, strict=True):
        torch.testing.assert_close(step.z, other.z, atol=1e-4, rtol=1e-4)
    from_noise = list(climb(lambda _: curved, replace(TWO, bend=1.0), sources[0]))
    assert all(step.flow is None for step in from_noise), "chains from noise have nothing to bend"


def test_pictures_bend_in_company_as_alone_and_flows_are_carried_up() -> None:
    ladder = replace(TWO, bend=1.0)
    x = noise(3, 3, 16, 24)
    together = list(climb(lambda _: curved, ladder, (sources := tone_pyramid(x, ladder))[0], sources))
    flows = [step.flow for step in together]
    assert [flow.shape for flow in flows if flow is not None] == [(3, 2, 8, 12)] * 3 + [(3, 2, 16, 24)] * 2
    assert flows[-1] is not None and flows[-1].abs().max() > 0.01
    for n in range(3):
        alone = list(climb(lambda _: curved, ladder, (one := tone_pyramid(x[n : n + 1], ladder))[0], one))
        torch.testing.assert_close(alone[-1].z, together[-1].z[n : n + 1], atol=1e-4, rtol=1e-4)


def test_a_stage_that_lays_noise_keeps_the_flow() -> None:
    ladder = Ladder((Stage(8, 2, 0.5), Stage(16, 2, 0.5, walk=1.0, noise=0.05)), bend=1.0)
    sources = tone_pyramid(noise(1, 3, 16, 16), ladder)
    flows = [s.flow for s in climb(lambda _: curved, ladder, sources[0], sources, torch.Generator().manual_seed(0))]
    assert flows[2] is not None and flows[3] is not None
    assert flows[2].shape == (1, 2, 16, 16) and torch.equal(flows[2], flows[3])


# Full size -----------------------------------------------------------------------------------------------------------


def textured(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_at_full_size_no_flow_changes_nothing(size: tuple[int, int]) -> None:
    picture = textured(*size)
    assert np.array_equal(bend(picture, torch.zeros(1, 2, 16, 16)), picture)


@pytest.mark.parametrize("size", [(33, 50), (70, 21), (300, 301)])
@pytest.mark.parametrize("strength", [0.2, 8.0])
def test_the_full_size_bends_as_the_small_copy_does_in_bands_of_any_height(
    size: tuple[int, int], strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a flow looks over the border more than once."""
    picture = textured(*size)
    flow = strength * noise(1, 2, 6, 5)
    large = torch.nn.functional.interpolate(flow, size, mode="bicubic")
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    expected = warped(tensor, large)[0].permute(1, 2, 0).numpy()
    whole = bend(picture, flow)
    assert np.abs(whole - expected).max() < 1
    monkeypatch.setattr(bending, "BAND", 7)
    bands = bend(picture, flow)
    assert np.abs(whole.astype(int) - bands).max() <= 1, "but for the last bit of rounding"
    assert (whole != bands).mean() < 1e-3


def test_a_frame_without_change_of_colour_is_the_bent_picture() -> None:
    source = noise(1, 3, 24, 16)
    flow = shift(2, 1, 24, 16)
    picture = textured(240, 160)
    frame = Frame(0, 1, 0.0, source, warped(source, flow), picture, focus=0.5, flow=flow)
    assert torch.equal(frame.state, frame.bent)
    assert np.array_equal(np.asarray(frame.onto(picture)), bend(picture, flow))
    assert np.array_equal(bend(picture, flow)[:-10, :-20], picture[10:, 20:]), "by ten times as many pixels"


# Models --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["", "focus"])
def translator(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Translator:
    """The tiny model, bending."""
    energy, config = load_model(tiny_model)
    path = tmp_path_factory.mktemp("bending") / "bending.safetensors"
    bends = replace(config, ladder=replace(config.ladder, bend=2.0, focus=request.param))
    save_model(path, energy.state_dict(), bends)
    assert load_model(path)[1] == bends
    return Translator.load(path, "cpu")


@pytest.fixture
def result(translator: Translator, photo: Path) -> Result:
    return translator(photo)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (700, 3), (33, 1000), (31, 17), (640, 480)])
def test_a_bending_model_gives_any_size_back(translator: Translator, size: tuple[int, int]) -> None:
    assert translator(Image.new("RGB", size, (180, 40, 30))).picture.size == size


def test_it_bends_and_strength_0_does_not(translator: Translator, result: Result, photo: Path) -> None:
    flow = result.frames[-1].flow
    assert flow is not None and flow.shape == (1, 2, 32, 42)
    assert flow.abs().max() * 16 > 0.5, "half a pixel of 32 at least"
    with Image.open(photo) as opened:
        assert np.array_equal(np.asarray(translator(photo, strength=0).picture), np.asarray(opened))


def test_frames_hold_flows_in_units_of_the_copy_without_its_padding(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of 1000 x 17 px is worked on as 256 x 4, which are padded to 256 x 8."""
    steps: list[Step] = []

    def watched(*arguments: Any) -> Iterator[Step]:
        for step in climb(*arguments):
            steps.append(step)
            yield step

    monkeypatch.setattr(engine, "climb", watched)
    frame = translator(Image.fromarray(textured(17, 1000))).frames[-1]
    walked = steps[-1].flow
    assert walked is not None and frame.flow is not None
    assert walked.shape == (1, 2, 8, 256) and frame.flow.shape == (1, 2, 4, 256)
    torch.testing.assert_close(frame.flow * 4, walked[:, :, :4] * 8)


def test_in_a_batch_pictures_bend_as_alone(translator: Translator) -> None:
    pictures = [Image.fromarray(textured(48, 64)), Image.fromarray(255 - textured(48, 64)[::-1])]
    for picture, together in zip(pictures, translator.batch(pictures), strict=True):
        alone = np.asarray(translator(picture).picture).astype(int)
        assert np.abs(alone - np.asarray(together.picture)).max() <= 1


def test_frames_strips_animations_films_and_explanations_show_it(
    translator: Translator, result: Result, photo: Path, tmp_path: Path
) -> None:
    frames = list(translator.frames(photo))
    finished = np.asarray(result.picture)
    assert np.array_equal(np.asarray(frames[-1].onto(np.asarray(result.photo.rgb))), finished)
    assert np.array_equal(np.asarray(make_strip(result.photo.rgb, frames, count=4))[:, 300:], finished)
    save_gif(result.photo.rgb, frames, tmp_path / "chain.gif")
    with Image.open(tmp_path / "chain.gif") as gif:
        assert len(list(ImageSequence.Iterator(gif))) == 8
    film = Film(photo, translator, None, frames)
    assert np.array_equal(np.asarray(film.picture(7)), finished)
    assert film.bytes > sum(frame.reached.nbytes for frame in frames) + frames[0].preview.nbytes
    assert result.saliency.shape == (32, 42) and result.saliency.max() > 0
    before, after = result.energy_maps
    assert before.shape == after.shape == (4, 6)
    assert len(explain(result).getcolors(1 << 24) or []) > 20


def test_older_models_and_runs_know_nothing_of_bend_and_do_not() -> None:
    config = preset(64)
    old = json.loads(json.dumps({"stages": [{"resolution": 16}], "reach": 1.01, "noise": 0.0}))
    assert ladder_from_dict(old).bend == 0
    saved = json.loads(json.dumps(asdict(config)))
    del saved["curriculum"]["ladder"]["bend"]
    assert config_from_dict(saved) == config


@pytest.mark.parametrize("finest", [64, 128])
def test_the_preset_for_shapes(finest: int, tmp_path: Path) -> None:
    config = preset(finest, shape=True)
    assert config.curriculum.ladder.finest == config.network.finest == finest
    assert config.curriculum.ladder.bend > 0 and config.overshoot == 0
    with pytest.raises(ValueError, match="overshoot of 0"):
        replace(config, overshoot=0.5)
    told = ModelConfig(config.network, config.curriculum.ladder, source="cats", target="dogs")
    assert _command(tmp_path, told, config).endswith(f"--preset {finest} --shape")


@pytest.mark.parametrize("wrong", [{"zoom": 2}, {"from_noise": True}, {"with_source": False}, {"finest": 256}])
def test_what_shapes_do_not_go_with_is_a_sentence(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="shapes move"):
        preset(**{"finest": 64, "shape": True, **wrong})  # type: ignore[arg-type]
