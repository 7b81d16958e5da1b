"""Votes on the trunk: growth without disturbance, any size, standardised features."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from models.energy import pooled
from models.losses import adversarial_loss
from models.terms.perceptual import PerceptualEnergy
from models.terms.spectral import effective_weights
from models.terms.trunk import load_trunk
from models.terms.votes import VotesConfig
from tests.helpers import VOTES, random_pictures, votes_energy


def trained(config: VotesConfig = VOTES, updates: int = 4) -> PerceptualEnergy:
    """An energy with spectral norm that has learned a little on both levels, in evaluation mode."""
    torch.manual_seed(3)
    energy = PerceptualEnergy(config, load_trunk()).train()
    energy.measure([random_pictures(4, 64, seed=100)])
    energy.spectral_normalised()
    optimiser = torch.optim.Adam(energy.parameters(), 1e-2)
    target, end = random_pictures(4, 64, seed=1), random_pictures(4, 64, seed=2) * 0.3
    for _ in range(updates):
        fine = adversarial_loss(energy, target, end, 64, 0.6, r1_weight=0.1).loss
        coarse = adversarial_loss(energy, pooled(target, 2), pooled(end, 2), 32).loss
        optimiser.zero_grad()
        (fine + coarse).backward()
        optimiser.step()
    return energy.eval()


@pytest.mark.parametrize("made", [votes_energy, trained], ids=["new", "trained"])
def test_at_beta_zero_the_energy_is_the_coarser_levels_and_at_one_the_primal_alone(made) -> None:
    energy, x = made(), random_pictures(3, 64, seed=5)
    coarse = energy.at(32)(F.avg_pool2d(x, 2))
    primal = energy.term(64)(x, energy.trunk(x, VOTES.taps))
    assert torch.equal(energy.at(64, 0.0)(x), coarse)
    assert torch.equal(energy.at(64)(x), primal)
    torch.testing.assert_close(energy.at(64, 0.3)(x), 0.3 * primal + 0.7 * coarse)
    assert (primal - coarse).abs().min() > 1e-4
    assert torch.equal(energy.at(32, 0.0)(pooled(x, 2)), coarse), "the coarsest level has nothing to fade from"


def test_three_levels_fade_from_the_one_before() -> None:
    energy = votes_energy(replace(VOTES, resolutions=(32, 64, 128)))
    x = random_pictures(1, 128)
    assert torch.equal(energy(x, 128, 0.0), energy(pooled(x, 2), 64))


def test_the_energy_from_an_embedding_is_that_of_the_pictures_and_its_gradient_by_them_is_true() -> None:
    energy = trained()
    x = random_pictures(2, 64, seed=6)
    read = energy.embed(x, 64, 0.4)
    assert not any(part.requires_grad for part in read)
    torch.testing.assert_close(energy.from_embedding(read, 64, 0.4), energy(x, 64, 0.4))
    energy = energy.double()
    trunk = load_trunk()
    energy._trunk = (type(trunk)().double(),)
    energy.trunk.load_state_dict(trunk.state_dict())
    x, direction = x.double().requires_grad_(), random_pictures(2, 64, seed=8).double()
    (gradient,) = torch.autograd.grad(energy(x, 64, 0.4).sum(), x)
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (energy(x + sign * step * direction, 64, 0.4).sum() for sign in (1, -1))
    torch.testing.assert_close((gradient * direction).sum(), (ahead - behind) / (2 * step), rtol=1e-3, atol=1e-9)


def test_a_finer_level_starts_from_what_the_coarser_one_has_learned_but_for_what_was_measured() -> None:
    energy = trained()
    measured = energy.term(64).get_buffer("mean0").clone()
    energy.start_level(64)
    coarse, fine = energy.term(32).state_dict(), energy.term(64).state_dict()
    same = {name for name in fine if torch.equal(coarse[name], fine[name])}
    assert set(fine) - same == {f"{what}{n}" for what in ("mean", "deviation") for n in range(2)}
    assert torch.equal(energy.term(64).get_buffer("mean0"), measured)
    with torch.no_grad():
        energy.term(64).get_parameter("pixels.0.bias").add_(1)
    biases = [energy.term(resolution).get_parameter("pixels.0.bias") for resolution in (32, 64)]
    assert not torch.equal(*biases), "a copy, which learns for itself"


def test_features_are_standardised_by_those_of_training_pictures() -> None:
    energy, x = votes_energy(), random_pictures(8, 64, seed=100)
    for number, h in enumerate(energy.trunk(pooled(x, 2), VOTES.taps)):
        term = energy.term(32)
        mean, deviation = term.get_buffer(f"mean{number}"), term.get_buffer(f"deviation{number}")
        torch.testing.assert_close(h.mean((0, 2, 3)), mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(h.transpose(0, 1).flatten(1).std(1) + 1e-3, deviation, atol=1e-5, rtol=1e-4)
    seen = []
    energy.term(32).heads[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    energy(pooled(x, 2), 32)
    assert seen[0].mean((0, 2, 3)).abs().max() < 1e-3
    torch.testing.assert_close(seen[0].transpose(0, 1).flatten(1).std(1).median(), torch.tensor(1.0), atol=0.02, rtol=0)


def test_measuring_in_batches_is_measuring_at_once() -> None:
    x = random_pictures(6, 64, seed=9)
    one, other = (PerceptualEnergy(VOTES, load_trunk()) for _ in range(2))
    one.measure([x])
    other.measure(list(x.split(2)))
    for name, value in one.named_buffers():
        torch.testing.assert_close(other.get_buffer(name), value, atol=1e-5, rtol=1e-4)


def test_the_gradient_of_a_pixel_does_not_depend_on_how_large_the_picture_is() -> None:
    """Far from the borders a tiled picture has the gradient of its tile; the energy grows with the picture."""
    energy = votes_energy(replace(VOTES, resolutions=(32,), taps=(2,)))
    with torch.no_grad():  # the pixel network as loud as the head
        energy.term(32).get_parameter("pixels.13.weight").mul_(1000)
    wide = random_pictures(1, 32).repeat(1, 1, 1, 6).requires_grad_()
    wider = wide.detach().repeat(1, 1, 1, 2).requires_grad_()
    (slope,) = torch.autograd.grad(energy(wide, 32).sum(), wide)
    (longer,) = torch.autograd.grad(energy(wider, 32).sum(), wider)
    torch.testing.assert_close(slope[..., :64], longer[..., :64], atol=1e-7, rtol=1e-3)
    assert slope.abs().max() > 1e-4


def test_a_square_pictures_energy_is_the_sum_of_the_heads_mean_votes() -> None:
    energy, x = votes_energy(), random_pictures(2, 32)
    term, features = energy.term(32), energy.trunk(x, VOTES.taps)
    total = term.pixels(x).mean((1, 2, 3))
    for number, (head, h) in enumerate(zip(term.heads, features, strict=True)):
        mean, deviation = (term.get_buffer(f"{what}{number}").view(1, -1, 1, 1) for what in ("mean", "deviation"))
        total = total + head((h - mean) / deviation).mean((1, 2, 3))
    torch.testing.assert_close(energy(x, 32), total)


def test_a_map_sums_the_votes_at_the_finest_taps_places_at_any_size() -> None:
    energy = votes_energy()
    assert energy.map(random_pictures(2, 64, width=96), 64).shape == (2, 16, 24)
    assert energy.map(random_pictures(1, 50, width=77), 64).shape[0] == 1
    one_tap = votes_energy(replace(VOTES, taps=(4,)))  # whose places are 8 px wide, as those of the pixel network are
    x = random_pictures(2, 64)
    torch.testing.assert_close(one_tap.map(x, 64).mean((1, 2)), one_tap(x, 64))


def test_effective_weights_are_those_of_the_heads_and_bounded_by_spectral_norm() -> None:
    normed = trained(updates=30)
    plain = PerceptualEnergy(VOTES, load_trunk())
    plain.load_state_dict(effective_weights(normed))
    x = random_pictures(2, 64)
    assert torch.equal(plain(x, 64, 0.3), normed(x, 64, 0.3))
    norm = torch.linalg.matrix_norm(plain.state_dict()["terms.64.heads.0.2.weight"].flatten(1), 2)
    assert norm.item() == pytest.approx(1.0, rel=0.05)


def test_the_trunk_is_shared_and_no_part_of_what_is_saved() -> None:
    energy = votes_energy()
    assert energy.trunk is load_trunk()
    assert not any("trunk" in name or "blocks" in name for name in energy.state_dict())
    assert sum(p.numel() for p in energy.parameters()) < 20_000


def test_the_trunk_may_see_coarser_levels_enlarged() -> None:
    """At 64 px both levels see features of one size; enlarged pictures have one energy on both, but for the pixels."""
    config = replace(VOTES, seen_at=64)
    assert [config.magnification(resolution) for resolution in (32, 64)] == [2, 1]
    energy, x = votes_energy(config), random_pictures(2, 32)
    large = F.interpolate(x, scale_factor=2, mode="bilinear")
    seen = energy.embed(x, 32)
    for h, expected in zip(seen[1:], energy.trunk(large, config.taps), strict=True):
        torch.testing.assert_close(h, expected)
    term = energy.term(32)
    torch.testing.assert_close(
        energy(x, 32) - term.pixels(x).mean((1, 2, 3)),
        energy.term(32)(large, seen[1:]) - 4 * term.pixels(large).mean((1, 2, 3)),
    )
    assert energy.map(x, 32).shape[-2:] == energy.map(large, 64).shape[-2:]


@pytest.mark.parametrize(
    "wrong",
    [{"resolutions": ()}, {"resolutions": (16,)}, {"resolutions": (32, 128)}, {"resolutions": (64, 32)}, {"taps": ()},
     {"taps": (4, 2)}, {"taps": (2, 2)}, {"taps": (16,)}, {"taps": (-1,)}, {"width": 0}, {"width": 513},
     {"pixel_width": 2}, {"seen_at": -1}, {"seen_at": 1024}],
)  # fmt: skip
def test_impossible_shapes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        VotesConfig(**wrong)  # type: ignore[arg-type]
