"""Things with a texture: learned levels below, a fitted one above."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.config import ModelConfig
from models.model import Model
from models.schedule import Level, Schedule
from models.terms.perceptual import PerceptualEnergy
from models.terms.textured import TexturedConfig, TexturedEnergy
from tests.helpers import STATISTICS, VOTES, random_pictures, statistics_energy, votes_energy

TEXTURE = replace(STATISTICS, resolutions=(128,), window=0.3)


def textured() -> TexturedEnergy:
    return TexturedEnergy(votes_energy(), statistics_energy(TEXTURE)).eval()


def test_each_level_is_that_of_its_part() -> None:
    energy = textured()
    assert energy.resolutions == (32, 64, 128) == energy.config.resolutions
    for part, resolutions in ((energy.things, (32, 64)), (energy.texture, (128,))):
        for resolution in resolutions:
            x = random_pictures(2, resolution)
            assert torch.equal(energy.at(resolution)(x), part.at(resolution)(x))
            assert torch.equal(energy(x, resolution), part(x, resolution))
            assert torch.equal(energy.map(x, resolution), part.map(x, resolution))
            read = energy.embed(x, resolution)
            torch.testing.assert_close(energy.from_embedding(read, resolution), energy(x, resolution))


def test_without_its_texture_a_model_is_one_of_votes_and_files_hold_both(tmp_path: Path) -> None:
    energy = textured()
    levels = tuple(Level(r, 2, step_rms=0.05, luma=((2, 1.0),)) for r in energy.resolutions)
    model = Model(energy, ModelConfig(energy.config, Schedule(levels), source="cats", target="dogs"))
    model.save(tmp_path / "model.safetensors")
    loaded = Model.load(tmp_path / "model.safetensors")
    assert isinstance(loaded.energy, TexturedEnergy) and loaded.config.energy == energy.config
    x = random_pictures(1, 128)
    torch.testing.assert_close(loaded.energy(x, 128), energy(x, 128), atol=1e-2, rtol=1e-2)
    for finest in (32, 64):
        plain = loaded.edited(finest=finest)
        assert isinstance(plain.energy, PerceptualEnergy) and plain.config.schedule.finest == finest
        small = random_pictures(1, finest)
        assert torch.equal(plain.energy(small, finest), loaded.energy(small, finest))
    assert loaded.edited(finest=128).energy is loaded.energy


@pytest.mark.parametrize("resolutions", [(64,), (256,), (128, 256)])
def test_a_texture_is_one_level_behind_the_votes(resolutions: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="twice the finest"):
        TexturedConfig(VOTES, replace(STATISTICS, resolutions=resolutions))
