"""The losses, on energies whose terms are known on paper."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.energy import EnergyFn
from models.losses import adversarial_loss, denoising_loss


class Parabola(nn.Module):
    """E = w |x|^2, and what it reads of a picture: the picture itself, and twice the picture as a frozen feature."""

    def __init__(self, w: float, reads_features: bool = False) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))
        self.reads_features = reads_features
        self.asked: list[tuple[int, float]] = []

    @property
    def resolutions(self) -> tuple[int, ...]:
        return (4,)

    def at(self, resolution: int, beta: float = 1.0) -> EnergyFn:
        return lambda x: self.from_embedding(self.embed(x, resolution, beta), resolution, beta)

    def map(self, x: Tensor, resolution: int) -> Tensor:
        return x.sum(1)

    @torch.no_grad()
    def embed(self, x: Tensor, resolution: int, beta: float = 1.0) -> list[Tensor]:
        self.asked.append((resolution, beta))
        return [x.clone(), 2 * x] if self.reads_features else [x.clone()]

    def from_embedding(self, embedding: list[Tensor], resolution: int, beta: float = 1.0) -> Tensor:
        return self.w * torch.stack([x.square().sum(dim=(1, 2, 3)) for x in embedding]).sum(0)


TARGET, END = torch.full((2, 3, 4, 4), 0.5), torch.ones(2, 3, 4, 4)  # |x|^2 is 12 and 48


def test_the_contrastive_loss_is_that_on_paper() -> None:
    """The slope is 2 w x, so R1 is 4 w^2 |x|^2."""
    energy = Parabola(0.5)
    terms = adversarial_loss(energy, TARGET, END, 4, 0.7, kind="contrastive", r1_weight=0.1)
    torch.testing.assert_close(terms.target_energy.detach(), torch.tensor(6.0))
    torch.testing.assert_close(terms.chain_energy.detach(), torch.tensor(24.0))
    torch.testing.assert_close(terms.penalty.detach(), torch.tensor(12.0))
    torch.testing.assert_close(terms.loss.detach(), torch.tensor(6.0 - 24.0 + 1.2))
    terms.loss.backward()  # d/dw of 12 w - 48 w + 0.1 * 48 w^2
    torch.testing.assert_close(energy.w.grad, torch.tensor(-36.0 + 4.8))
    assert energy.asked == [(4, 0.7)] * 2


def test_the_logistic_loss_is_that_on_paper_and_levels_off_once_the_two_are_told_apart() -> None:
    w = 0.05
    energy = Parabola(w)
    terms = adversarial_loss(energy, TARGET, END, 4)
    assert terms.loss.item() == pytest.approx(math.log1p(math.exp(12 * w)) + math.log1p(math.exp(-48 * w)), rel=1e-5)
    terms.loss.backward()
    sigmoid = [1 / (1 + math.exp(-12 * w)), 1 / (1 + math.exp(48 * w))]
    torch.testing.assert_close(energy.w.grad, torch.tensor(12 * sigmoid[0] - 48 * sigmoid[1]))
    # An energy of -10 on targets and 10 on chain ends.
    apart = F.softplus(torch.tensor(-10.0)) * 2
    assert apart < 1e-3
    shifted = Parabola(20 / 36)
    offset = 10 + 12 * 20 / 36
    shifted.from_embedding = lambda e, r, b=1.0: shifted.w * e[0].square().sum(dim=(1, 2, 3)) - offset  # type: ignore
    torch.testing.assert_close(adversarial_loss(shifted, TARGET, END, 4).loss.detach(), apart, atol=1e-6, rtol=1e-3)


def test_r1_of_a_linear_energy_is_the_squared_norm_of_its_slope_by_all_that_it_reads() -> None:
    energy = Parabola(1.0, reads_features=True)
    slope, other = torch.randn(3, 4, 4), torch.randn(3, 4, 4)

    def read(e: list[Tensor], r: int, b: float = 1.0) -> Tensor:
        return energy.w * ((slope * e[0]).sum((1, 2, 3)) + (other * e[1]).sum((1, 2, 3)))

    energy.from_embedding = read  # type: ignore[assignment, method-assign]
    terms = adversarial_loss(energy, TARGET, END, 4, r1_weight=0.3)
    torch.testing.assert_close(terms.penalty.detach(), slope.square().sum() + other.square().sum())
    without = adversarial_loss(energy, TARGET, END, 4)
    torch.testing.assert_close(terms.loss, without.loss + 0.3 * terms.penalty)
    terms.penalty.backward()
    torch.testing.assert_close(energy.w.grad, 2 * (slope.square().sum() + other.square().sum()))


@pytest.mark.parametrize("kind", ["logistic", "contrastive"])
def test_without_a_weight_the_penalty_is_left_out(kind: str) -> None:
    terms = adversarial_loss(Parabola(0.5), TARGET, END, 4, kind=kind)  # type: ignore[arg-type]
    assert terms.penalty.isnan()
    assert terms.loss.isfinite()


def test_pictures_get_no_gradient() -> None:
    target, end = TARGET.clone().requires_grad_(), END.clone().requires_grad_()
    adversarial_loss(Parabola(0.5), target, end, 4, r1_weight=0.1).loss.backward()
    assert target.grad is None and end.grad is None


@pytest.mark.parametrize("kind", ["logistic", "contrastive"])
def test_learning_raises_the_energy_of_chain_ends_against_targets(kind: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.SiLU(), nn.Linear(16, 1))
    energy = Parabola(0.0)
    energy.from_embedding = lambda e, r, b=1.0: network(e[0]).squeeze(1)  # type: ignore
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    target, end = torch.rand(8, 3, 4, 4), -torch.rand(8, 3, 4, 4)
    for _ in range(50):
        terms = adversarial_loss(energy, target, end, 4, kind=kind, r1_weight=0.1)  # type: ignore[arg-type]
        optimiser.zero_grad()
        terms.loss.backward()
        optimiser.step()
    assert terms.target_energy < terms.chain_energy - 0.5


def test_a_slope_that_leads_back_to_the_clean_picture_misses_nothing() -> None:
    """E = |x|^2 / 2 and a clean picture of zeros: the slope at the noisy picture is the noise itself."""
    noisy = torch.rand(2, 3, 4, 4)
    sigma = torch.tensor([0.3, 0.1]).view(2, 1, 1, 1)

    def energy(x: Tensor) -> Tensor:
        return x.square().sum(dim=(1, 2, 3)) / 2

    terms = denoising_loss(energy, torch.zeros_like(noisy), noisy, sigma, scale=1.0)
    assert terms.loss == 0 and terms.penalty.isnan()
    torch.testing.assert_close(terms.chain_energy, energy(noisy).mean())
    assert terms.target_energy == 0
    missed = denoising_loss(energy, torch.zeros_like(noisy), noisy, sigma, scale=3.0).loss
    wanted = (2 * noisy).square().mean((1, 2, 3)) / torch.tensor([0.1, 0.02])
    torch.testing.assert_close(missed, wanted.mean())
