"""The energy from scratch: growth without disturbance, any shape, effective weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.terms.pixels import Expand, PixelConfig, PixelEnergy
from models.terms.spectral import VarianceGain, effective_weights

CONFIG = PixelConfig(coarsest=16, finest=64, width=8, max_width=16)


@pytest.fixture
def energy() -> PixelEnergy:
    torch.manual_seed(0)
    return PixelEnergy(CONFIG).eval()


@pytest.mark.parametrize("resolution", [32, 64])
def test_at_beta_zero_the_grown_network_equals_the_coarser_one(energy: PixelEnergy, resolution: int) -> None:
    x = torch.rand(3, 3, resolution, resolution) * 2 - 1
    coarse = energy.at(resolution // 2)(F.avg_pool2d(x, 2))
    assert torch.equal(energy.at(resolution, 0.0)(x), coarse)
    assert not torch.allclose(energy.at(resolution, 1.0)(x), coarse)


def test_at_beta_one_the_coarser_entrance_has_no_say(energy: PixelEnergy) -> None:
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    before, faded = energy(x, 64, 1.0), energy(x, 64, 0.5)
    entrance = energy.inputs["32"]
    assert isinstance(entrance, Expand)
    with torch.no_grad():
        entrance.from_rgb.weight.add_(1.0)
    assert torch.equal(energy(x, 64, 1.0), before)
    assert not torch.allclose(energy(x, 64, 0.5), faded)


def test_beta_leads_from_the_coarser_model_to_the_finer_one_without_a_jump(energy: PixelEnergy) -> None:
    with torch.no_grad():
        energy.project.weight.mul_(100)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    near_zero, zero = energy(x, 32, beta=1e-4), energy(x, 32, beta=0.0)
    near_one, one = energy(x, 32, beta=1 - 1e-4), energy(x, 32, beta=1.0)
    torch.testing.assert_close(near_zero, zero, atol=1e-4, rtol=0)
    torch.testing.assert_close(near_one, one, atol=1e-4, rtol=0)
    assert (one - zero).abs().min() > 1e-2


def test_a_batch_gives_what_its_pictures_give_alone(energy: PixelEnergy) -> None:
    x = torch.rand(4, 3, 64, 64) * 2 - 1
    alone = torch.cat([energy(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(energy(x), alone, atol=1e-5, rtol=0)


def test_the_energy_is_the_sum_of_its_map_and_takes_any_aspect_ratio(energy: PixelEnergy) -> None:
    x = torch.rand(2, 3, 64, 96) * 2 - 1
    cells = energy.map(x, 64)
    assert cells.shape == (2, 4, 6)
    torch.testing.assert_close(energy(x), cells.sum(dim=(1, 2)) / 16)
    assert energy.map(torch.rand(1, 3, 50, 90), 64).shape == (1, 4, 6), "a map is of any size"
    assert energy.map(torch.rand(1, 3, 32, 48), 32).shape == (1, 4, 6)


def test_the_gradient_of_a_pixel_does_not_depend_on_how_large_the_picture_is(energy: PixelEnergy) -> None:
    """Far from the borders, where zero padding is seen, a tiled picture has the gradient of its tile."""
    energy = energy.double()
    wide = (torch.rand(1, 3, 64, 32, dtype=torch.float64) * 2 - 1).repeat(1, 1, 1, 8).requires_grad_()
    wider = wide.detach().repeat(1, 1, 1, 2).requires_grad_()
    (slope,) = torch.autograd.grad(energy(wide).sum(), wide)
    (longer,) = torch.autograd.grad(energy(wider).sum(), wider)
    torch.testing.assert_close(slope[..., :64], longer[..., :64], atol=1e-12, rtol=1e-6)
    assert slope.abs().max() > 1e-7


def test_effective_weights_are_those_of_the_network_and_bounded_by_spectral_norm() -> None:
    torch.manual_seed(1)
    normed = PixelEnergy(CONFIG).spectral_normalised()
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    for _ in range(20):  # the power iteration settles
        normed.train()(x)
    plain = PixelEnergy(CONFIG)
    plain.load_state_dict(effective_weights(normed.eval()))
    assert torch.equal(plain(x), normed(x))
    weight = plain.state_dict()["head.weight"]
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1 + (16 / 144) ** 0.5, rel=0.02)


def test_gains_keep_activations_alive_through_the_whole_network() -> None:
    """Normal inputs: the features before the projection keep a spread near 1, whatever the depth."""

    def spread(gains: bool) -> float:
        torch.manual_seed(2)
        normed = PixelEnergy(PixelConfig(coarsest=16, finest=64)).spectral_normalised()
        for module in normed.modules():
            if isinstance(module, VarianceGain) and not gains:
                module.gain = 1.0
        x = torch.randn(16, 3, 64, 64)
        for _ in range(20):
            normed.train()(x)
        seen: list[float] = []
        normed.head.register_forward_hook(lambda module, inputs, output: seen.append(output.std().item()))
        normed.eval()(x)
        return seen[0]

    assert 0.2 < spread(gains=True) < 2
    assert spread(gains=False) < 0.1


def test_what_it_reads_are_the_pictures(energy: PixelEnergy) -> None:
    x = torch.rand(2, 3, 32, 32)
    (read,) = energy.embed(x, 32, 0.3)
    assert torch.equal(read, x)
    assert torch.equal(energy.from_embedding([read], 32, 0.3), energy(x, 32, 0.3))


def test_a_configuration_without_its_fine_levels_makes_the_coarser_network(energy: PixelEnergy) -> None:
    small = PixelEnergy(CONFIG.up_to(32))
    assert small.resolutions == (16, 32)
    state = energy.state_dict()
    small.load_state_dict({name: state[name] for name in small.state_dict()})
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(small(x, 32), energy(x, 32))


@pytest.mark.parametrize(
    "wrong",
    [{"coarsest": 12}, {"coarsest": 4}, {"coarsest": 64, "finest": 32}, {"width": 0}, {"width": 128},
     {"max_width": 2048}, {"width": 8.0}, {"width": True}],
)  # fmt: skip
def test_impossible_shapes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must|whole"):
        PixelConfig(**{"coarsest": 16, "finest": 64, **wrong})  # type: ignore[arg-type]
