"""A photo whose thing makes way for another one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.energy import pooled
from models.model import Model
from models.sampling import sample
from models.scene import FAINT, Scene
from models.schedule import Level, Schedule
from models.terms.trunk import load_trunk
from models.transport import Transport, fit_transport
from tests.helpers.busts import busts


@pytest.fixture(scope="module")
def transport() -> Transport:
    made = fit_transport(busts(32, seed=1), busts(32, size=0.5, seed=2), load_trunk())
    made.octaves.fit(busts(8, size=0.5, seed=2, side=64))
    return made


def at_levels(x: Tensor) -> list[Tensor]:
    return [pooled(x, 4), pooled(x, 2)]


def test_the_new_thing_stands_where_the_old_ones_ground_is_left_alone(transport: Transport) -> None:
    x = busts(3, seed=3)
    sources = at_levels(x)
    scene = Scene.of(sources, transport, 1.0)
    corner = (slice(None), slice(None), slice(0, 4), slice(0, 4))
    assert (scene.start - sources[0])[corner].abs().mean() < 0.05
    middle = (slice(None), slice(None), slice(12, 20), slice(12, 20))
    assert torch.allclose(scene.start[middle], transport(sources[0])[middle], atol=0.1)
    assert scene.inside[corner].mean() < 0.2 < 0.9 < scene.inside[middle].mean()


def test_no_share_leaves_the_photos_as_they_are(transport: Transport) -> None:
    sources = at_levels(busts(2, seed=4))
    assert all(map(torch.equal, Scene.of(sources, transport, 0.0).sources, sources))


def test_steps_are_taken_inside_alone(transport: Transport) -> None:
    sources = at_levels(busts(2, seed=5))
    schedule = Schedule((Level(32, 0), Level(64, 4, step_size=50.0, step_rms=0.2)), transport=1.0)
    chain = sample(lambda _: lambda x: x.sum((1, 2, 3)), schedule, sources[0], sources, transport=transport)
    scene, end = Scene.of(sources, transport, 1.0), [state.x for state in chain][-1]
    moved = (end - scene.sources[1]).abs().mean(1, keepdim=True)
    inside = torch.nn.functional.interpolate(scene.inside, scale_factor=2, mode="bilinear")
    assert moved[inside < 0.02].mean() < 0.05 < 0.2 < moved[inside > 0.9].mean()


def test_fine_light_is_made_up_for_at_the_level_that_it_was_measured_on(transport: Transport) -> None:
    x = torch.nn.functional.avg_pool2d(busts(2, seed=6, side=64), 5, 1, 2, count_include_pad=False)
    scene = Scene.of(at_levels(busts(2, seed=6)), transport, 1.0)
    assert torch.equal(scene.finished(x, 32), x)
    finished = scene.finished(x, 64)
    assert finished.diff(dim=3).abs().mean() > 1.05 * x.diff(dim=3).abs().mean()


def test_fur_is_faint_and_of_the_old_thing_alone(transport: Transport) -> None:
    """Busts have stripes, grounds have none."""
    lined = busts(2, seed=8)
    lined[..., 64, :] += 1.0
    plain, line = (Scene.of(at_levels(y), transport, 1.0).fur.abs() for y in (busts(2, seed=8), lined))
    assert plain.shape == (2, 1, 64, 64)
    assert plain[..., 26:38, 26:38].mean() > 0.5 * FAINT
    assert plain[..., :4, :4].mean() < 0.01 * FAINT
    assert max(plain.max(), line.max()) <= FAINT + 1e-6


def test_models_that_ship_can_be_asked_for_a_part_of_the_way(model_files: dict[str, Path]) -> None:
    """The weaker, the nearer to the photo, in ground and thing."""
    model = Model.load(model_files["textured"])
    assert model.transport is not None
    schedule = model.config.schedule
    x = busts(1, seed=7, side=schedule.finest)
    sources = [pooled(x, schedule.finest // level.resolution) for level in schedule.levels]
    away = []
    for strength in (0.25, 0.5, 1.0):
        generator = torch.Generator().manual_seed(0)
        chain = sample(
            model.energy.at, schedule.scaled(strength), sources[0], sources,
            transport=model.transport, generator=generator,
        )  # fmt: skip
        away.append(float(([state.x for state in chain][-1] - x).abs().mean()))
    assert away == sorted(away) and away[0] < 0.8 * away[2]
