"""The network: growth without disturbance, any shape, effective weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.energy import Energy, EnergyConfig, effective_weights, with_spectral_norm

CONFIG = EnergyConfig(coarsest=16, finest=64, width=8, widest=16)


@pytest.fixture
def energy() -> Energy:
    torch.manual_seed(0)
    return Energy(CONFIG).eval()


@pytest.mark.parametrize("resolution", [32, 64])
def test_at_beta_zero_the_grown_network_equals_the_coarser_one(energy: Energy, resolution: int) -> None:
    x = torch.rand(3, 3, resolution, resolution) * 2 - 1
    coarse = energy(F.avg_pool2d(x, 2), resolution // 2)
    assert torch.equal(energy(x, resolution, beta=0.0), coarse)
    assert not torch.allclose(energy(x, resolution, beta=1.0), coarse)


def test_beta_leads_from_the_coarser_model_to_the_finer_one_without_a_jump(energy: Energy) -> None:
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    near_zero, zero = energy(x, 32, beta=1e-4), energy(x, 32, beta=0.0)
    near_one, one = energy(x, 32, beta=1 - 1e-4), energy(x, 32, beta=1.0)
    torch.testing.assert_close(near_zero, zero, atol=1e-4, rtol=0)
    torch.testing.assert_close(near_one, one, atol=1e-4, rtol=0)


def test_a_batch_gives_what_its_pictures_give_alone(energy: Energy) -> None:
    x = torch.rand(4, 3, 64, 64) * 2 - 1
    alone = torch.cat([energy(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(energy(x), alone, atol=1e-5, rtol=0)


def test_the_energy_is_the_sum_of_its_map_and_takes_any_aspect_ratio(energy: Energy) -> None:
    x = torch.rand(2, 3, 64, 96) * 2 - 1
    cells = energy.map(x)
    assert cells.shape == (2, 4, 6)
    torch.testing.assert_close(energy(x), cells.sum(dim=(1, 2)) / 16)


def test_the_gradient_of_a_pixel_does_not_depend_on_how_large_the_picture_is(energy: Energy) -> None:
    """Far from the borders, where zero padding is seen, a tiled picture has the gradient of its tile."""
    wide = (torch.rand(1, 3, 64, 32) * 2 - 1).repeat(1, 1, 1, 8).requires_grad_()
    wider = wide.detach().repeat(1, 1, 1, 2).requires_grad_()
    (slope,) = torch.autograd.grad(energy(wide).sum(), wide)
    (longer,) = torch.autograd.grad(energy(wider).sum(), wider)
    torch.testing.assert_close(slope[..., :64], longer[..., :64], atol=1e-6, rtol=1e-3)


def test_effective_weights_are_those_of_the_network_and_bounded_by_spectral_norm() -> None:
    torch.manual_seed(1)
    normed = with_spectral_norm(Energy(CONFIG))
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    for _ in range(20):  # the power iteration settles
        normed.train()(x)
    plain = Energy(CONFIG)
    plain.load_state_dict(effective_weights(normed.eval()))
    assert torch.equal(plain(x), normed(x))
    weight = plain.state_dict()["head.weight"]
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1 + (16 / 144) ** 0.5, rel=0.02)


def test_gains_keep_activations_alive_through_the_whole_network() -> None:
    """Normal inputs: the features before the projection keep a spread near 1, whatever the depth."""
    torch.manual_seed(2)
    normed = with_spectral_norm(Energy(EnergyConfig(coarsest=16, finest=64)))
    x = torch.randn(16, 3, 64, 64)
    for _ in range(20):
        normed.train()(x)
    seen = []
    normed.head.register_forward_hook(lambda module, inputs, output: seen.append(output.std().item()))
    normed.eval()(x)
    assert 0.2 < seen[0] < 2


@pytest.mark.parametrize(
    "wrong", [{"coarsest": 12}, {"coarsest": 4}, {"coarsest": 64, "finest": 32}, {"width": 0}, {"width": 128}]
)
def test_impossible_shapes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        EnergyConfig(**{"coarsest": 16, "finest": 64, **wrong})
