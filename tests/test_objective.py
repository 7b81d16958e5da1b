"""The loss, on an energy whose terms are known on paper."""

from __future__ import annotations

import torch

from models.objective import contrast, denoising


def test_the_terms_are_those_on_paper() -> None:
    """E = w |x|^2: the slope is 2 w x, so R1 is 4 w^2 |x|^2."""
    w = torch.tensor(0.5, requires_grad=True)
    target, end = torch.full((2, 3, 4, 4), 0.5), torch.ones(2, 3, 4, 4)
    terms = contrast(lambda x: w * x.square().sum(dim=(1, 2, 3)), target, end, penalty_weight=0.1)
    torch.testing.assert_close(terms.target_energy.detach(), torch.tensor(6.0))
    torch.testing.assert_close(terms.chain_energy.detach(), torch.tensor(24.0))
    torch.testing.assert_close(terms.penalty.detach(), torch.tensor(12.0))
    torch.testing.assert_close(terms.loss.detach(), torch.tensor(6.0 - 24.0 + 1.2))
    terms.loss.backward()  # d/dw of 12 w - 48 w + 0.1 * 48 w^2
    torch.testing.assert_close(w.grad, torch.tensor(-36.0 + 4.8))


def test_learning_raises_the_energy_of_chain_ends_against_targets() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 16), torch.nn.SiLU(), torch.nn.Linear(16, 1))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    target, end = torch.rand(8, 3, 4, 4), -torch.rand(8, 3, 4, 4)
    for _ in range(50):
        terms = contrast(lambda x: network(x).squeeze(1), target, end, penalty_weight=0.1)
        optimiser.zero_grad()
        terms.loss.backward()
        optimiser.step()
    assert terms.target_energy < terms.chain_energy


def test_without_a_weight_the_penalty_is_left_out() -> None:
    target, end = torch.full((2, 3, 4, 4), 0.5), torch.ones(2, 3, 4, 4)
    terms = contrast(lambda x: x.square().sum(dim=(1, 2, 3)), target, end)
    assert terms.loss == terms.target_energy - terms.chain_energy
    assert terms.penalty.isnan()


def test_an_overshot_picture_ranks_above_its_target_and_the_loss_levels_off() -> None:
    """E = w |x|^2 over 48 pixels: log(1 + exp(12 w - 48 w)) its slope in w: -36 / (1 + exp(36 w)); v = .25 / .26."""
    target, end = torch.full((2, 3, 4, 4), 0.5), torch.zeros(2, 3, 4, 4)
    slopes = []
    for value in (0.0, 0.05, 5.0):
        w = torch.tensor(value, requires_grad=True)

        def energy(x: torch.Tensor, w: torch.Tensor = w) -> torch.Tensor:
            return w * x.square().sum(dim=(1, 2, 3))

        with_it = contrast(energy, target, end, overshot=torch.ones(2, 3, 4, 4), overshoot_weight=1.0).loss
        (with_it - contrast(energy, target, end).loss).backward()
        assert w.grad is not None
        torch.testing.assert_close(w.grad, -36 / (1 + torch.exp(torch.tensor(36 * value))) * 0.25 / 0.26)
        slopes.append(abs(w.grad.item()))
    assert slopes[0] > 17
    assert slopes[2] < 1e-6


def test_a_slope_that_leads_back_to_the_clean_picture_misses_nothing() -> None:
    """E = |x|^2 / 2 and a clean picture of zeros: the slope at the noisy picture is the noise itself."""
    noisy, sigma = torch.rand(2, 3, 4, 4), torch.full((2, 1, 1, 1), 0.3)

    def energy(x: torch.Tensor) -> torch.Tensor:
        return x.square().sum(dim=(1, 2, 3)) / 2

    assert denoising(energy, torch.zeros_like(noisy), noisy, sigma, walk=1.0).loss == 0
    missed = denoising(energy, torch.zeros_like(noisy), noisy, sigma, walk=3.0).loss
    torch.testing.assert_close(missed, (2 * noisy).square().mean() / 0.1)
