"""The density that pictures of nothing start from: what it must hold of its domain, and what it expects in holes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.density import MIN_PICTURES, SIDE, Density, fit_density
from models.errors import BadModel
from models.model import Model


def halves(count: int, seed: int = 0) -> Tensor:
    """Two kinds of pictures, (count, 3, 64, 64): the left half light and the right one dark, by chance more or less."""
    generator = torch.Generator().manual_seed(seed)
    strength = 0.5 + 0.1 * torch.randn(count, 1, 1, 1, generator=generator)
    x = strength * torch.cat([torch.ones(32), -torch.ones(32)]).expand(count, 3, 64, 64)
    return (x + 0.02 * torch.randn(x.shape, generator=generator)).clamp(-1, 1)


@pytest.fixture(scope="module")
def density() -> Density:
    return fit_density(halves(200))


def drawn(density: Density, count: int, variety: float = 1.0) -> Tensor:
    latent = density.draw([torch.Generator().manual_seed(seed) for seed in range(count)])
    return density.pictures(latent, SIDE, variety)


def test_samples_look_like_the_pictures_or_their_mirror_images(density: Density) -> None:
    x = drawn(density, 200)
    left, right = x[..., 4:12].mean((1, 2, 3)), x[..., -12:-4].mean((1, 2, 3))
    assert (left * right < 0).all(), "one half is light, the other dark"
    assert 0.3 < (left > 0).float().mean() < 0.7, "either one"
    assert left.abs().mean().item() == pytest.approx(0.5, abs=0.05)
    assert left.abs().std().item() == pytest.approx(0.1, abs=0.03)


def test_variety_is_how_far_samples_leave_the_middle(density: Density) -> None:
    none, little, much = (drawn(density, 40, variety) for variety in (0.0, 0.5, 1.5))
    assert (little - none).square().mean() * 4 < (much - none).square().mean()
    assert len(none.flatten(1).unique(dim=0)) <= int((density.get_buffer("shares") > 0).sum())


def test_a_seed_draws_the_same_in_any_company(density: Density) -> None:
    one, three = density.draw([torch.Generator().manual_seed(7)]), density.draw(
        [torch.Generator().manual_seed(seed) for seed in (6, 7, 8)]
    )  # fmt: skip
    assert torch.equal(one.center[0], three.center[1]) and torch.equal(one.offset[0], three.offset[1])


def test_a_hole_is_completed_from_what_is_around_it(density: Density) -> None:
    picture = halves(1, seed=5)[0, :, ::2, ::2]
    hole = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    hole[:, : SIDE // 2 + 4] = True  # all of the light half
    found = density.completed(torch.where(hole, torch.zeros(()), picture), hole)
    assert found[:, :, 2:12].mean() > 0.3, "opposite a dark half lies a light one"
    under = density.completed(torch.where(hole, torch.ones(()), picture), hole)
    assert torch.equal(found, under), "what lies under the hole plays no part"


def test_too_few_pictures_are_refused_and_many_of_one_kind_are_not() -> None:
    with pytest.raises(ValueError, match=f"at least {MIN_PICTURES}"):
        fit_density(halves(MIN_PICTURES - 1))
    same = fit_density(torch.zeros(MIN_PICTURES, 3, 64, 64))
    assert same.sane() and drawn(same, 2).isfinite().all()
    assert not Density().sane()


def test_a_density_travels_in_the_models_file_and_a_senseless_one_is_refused(
    model_files: dict[str, Path], tmp_path: Path
) -> None:
    model = Model.load(model_files["generator"])
    assert model.density is not None and model.config.density
    same = Model.from_bytes(model.to_bytes()).density
    assert same is not None
    for name, value in model.density.state_dict().items():
        assert torch.equal(same.state_dict()[name], value)
    assert not Model.load(model_files["votes"]).config.density
    replace(model, density=Density()).save(tmp_path / "none.safetensors")  # no component has a share
    with pytest.raises(BadModel, match=r"none\.safetensors holds a density"):
        Model.load(tmp_path / "none.safetensors")
    config = model.edited(finest=32).config
    assert config.schedule.finest == 32 and model.edited(finest=32).density is model.density
