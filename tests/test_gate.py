"""The domain probe and the gate, on discs of two colours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.gate import FEATURES, DomainProbe, fit_probe, gate_change, keep_colors
from models.terms.trunk import load_trunk
from tests.helpers import BLUE, RED, disc_probe, discs, random_pictures


@pytest.fixture(scope="module")
def probe() -> DomainProbe:
    """Of red discs, the source, against blue discs, the target."""
    return disc_probe()


def enlarged_votes(probe: DomainProbe, x: Tensor) -> Tensor:
    return torch.nn.functional.interpolate(probe.votes(x)[:, None], x.shape[-2:], mode="bilinear")


def test_votes_tell_the_domains_apart_at_the_discs_and_not_beside_them(probe: DomainProbe) -> None:
    for color, sign in ((RED, 1), (BLUE, -1)):
        x, mask = discs(8, color, seed=30)
        votes = sign * enlarged_votes(probe, x)
        inside = (votes * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
        outside = (votes * (1 - mask)).sum((1, 2, 3)) / (1 - mask).sum((1, 2, 3))
        assert inside.min() > 0, "for the source above 0"
        assert (inside > outside).all()


def test_votes_average_to_the_logit_of_the_picture(probe: DomainProbe) -> None:
    x, _ = discs(3, RED, side=128, seed=31)
    torch.testing.assert_close(probe.votes(x).mean((1, 2)), probe._logit(probe.features(x)), atol=1e-2, rtol=1e-2)


def test_evidence_is_strong_on_the_things_of_either_domain_and_low_beside_them(probe: DomainProbe) -> None:
    for color in (RED, BLUE):
        x, mask = discs(6, color, seed=32)
        evidence = probe.evidence(x)
        assert evidence.shape == (6, 1, 64, 64) and evidence.min() >= 0
        inside = (evidence * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
        corners = evidence[..., ::55, ::55].mean((1, 2, 3))
        assert (inside > 2.5 * corners).all()


def test_evidence_is_of_the_pictures_size_whatever_that_is(probe: DomainProbe) -> None:
    assert probe.evidence(random_pictures(2, 50, width=91)).shape == (2, 1, 50, 91)
    assert probe.evidence(random_pictures(1, 300, width=200)).shape == (1, 1, 300, 200)


def test_it_accepts_sources_and_refuses_targets_noise_and_other_pictures(probe: DomainProbe) -> None:
    assert sum(probe.accepts(discs(20, RED, seed=33)[0])) >= 18
    assert sum(probe.accepts(discs(20, BLUE, seed=34)[0])) <= 2
    assert not any(probe.accepts(torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1))
    assert not any(probe.accepts(random_pictures(4, 64, seed=35)))
    stripes = (torch.arange(64) % 8 < 4).float().expand(1, 3, 64, 64) * 2 - 1
    assert not any(probe.accepts(stripes))


def test_pictures_are_told_apart_by_their_logit(probe: DomainProbe) -> None:
    red, blue = (probe._logit(probe.features(discs(16, color, seed=36)[0])) for color in (RED, BLUE))
    assert (red > 0).float().mean() > 0.9 and (blue < 0).float().mean() > 0.9


def test_fitting_is_repeatable_whatever_the_batches_and_draws_nothing() -> None:
    red, blue = discs(12, RED, seed=1)[0], discs(12, BLUE, seed=2)[0]
    before = torch.get_rng_state()
    one = fit_probe([red], [blue], load_trunk())
    same = fit_probe([red], [blue], load_trunk())
    assert all(torch.equal(value, same.get_buffer(name)) for name, value in one.named_buffers())
    assert torch.equal(torch.get_rng_state(), before)
    parts = fit_probe(list(red.split(4)), list(blue.split(5)), load_trunk())
    x = discs(4, RED, seed=3)[0]
    torch.testing.assert_close(parts.votes(x), one.votes(x), atol=0.05, rtol=0.05)


def test_of_a_few_sources_the_probe_judges_by_the_domains_alone() -> None:
    """They do not tell how far others lie out."""
    probe = fit_probe([discs(7, RED, seed=1)[0]], [discs(7, BLUE, seed=2)[0]], load_trunk())
    assert sum(probe.accepts(discs(12, RED, seed=33)[0])) >= 10
    assert sum(probe.accepts(discs(12, BLUE, seed=34)[0])) <= 3


def test_two_domains_of_other_sizes_count_alike() -> None:
    """Against twelve times as many pictures a source must not be outvoted."""
    probe = fit_probe([discs(8, RED, seed=1)[0]], [discs(96, BLUE, seed=2)[0]], load_trunk())
    red, blue = (probe._logit(probe.features(discs(16, color, seed=36)[0])).mean().item() for color in (RED, BLUE))
    assert red > 5 and blue < -5
    assert abs(red + blue) < 1.5, "the border lies in the middle"


def test_a_copy_on_a_device_is_the_same_probe(probe: DomainProbe) -> None:
    copied = probe.on(torch.device("cpu"))
    x = discs(2, RED, seed=37)[0]
    assert torch.equal(copied.votes(x), probe.votes(x))
    assert copied.accepts(x) == probe.accepts(x)
    copied.fit(torch.randn(4, FEATURES), torch.randn(4, FEATURES))
    assert not torch.equal(copied.votes(x), probe.votes(x)), "what is done to a copy is not done to the probe"


def test_the_gate_scales_what_is_of_one_colour_by_how_far_it_moved_beside_the_rest() -> None:
    """White things moved by 1, and M = 1; of the ground m = 0.25 = gate^2 M, which halves what moved there."""
    source = torch.full((2, 3, 16, 16), -0.9)
    source[:, :, :8] = 0.9
    change = torch.full_like(source, 0.5**0.5)
    change[:, :, :8] = 1.0
    change[:, :, 8::2] = 0.0  # the ground moved at every other row: what is alike counts together
    kept = gate_change(source, source + change, 0.5) - source
    torch.testing.assert_close(kept[:, :, :8], torch.full((2, 3, 8, 16), 1 / (1 + 0.5**4)))
    torch.testing.assert_close(kept[:, :, 9::2], torch.full((2, 3, 4, 16), 0.5**0.5 / 2))
    assert not kept[:, :, 8::2].any()


def test_a_gate_of_zero_is_the_identity_and_what_has_not_moved_stays() -> None:
    source = random_pictures(2, 16, seed=1)
    state = (source + 0.3 * source.flip(0)).clamp(-1, 1)
    assert torch.equal(gate_change(source, state, 0.0), state)
    assert torch.equal(gate_change(source, source, 0.5), source)
    assert gate_change(source, source, 0.5, torch.zeros(2, 1, 16, 16)).isfinite().all()


def test_the_firmer_the_gate_the_less_faint_change_is_left_and_strong_change_stays() -> None:
    x, mask = discs(2, RED, seed=38)
    state = (x + 0.5 * mask.flip(1) + 0.08 * (1 - mask)).clamp(-1, 1)
    grounds = []
    for gate in (0.1, 0.3, 0.6):
        kept = gate_change(x, state, gate) - x
        assert (kept * mask).sum() > (0.85 if gate < 0.6 else 0.6) * ((state - x) * mask).sum()
        grounds.append(((kept * (1 - mask)).sum() / ((state - x) * (1 - mask)).sum()).item())
    assert grounds[0] > grounds[1] > grounds[2]
    assert grounds[0] > 0.5 and grounds[2] < 0.2


def test_evidence_says_which_of_two_like_changes_counts() -> None:
    """Two colours moved alike: what no evidence speaks for is dropped."""
    source = torch.full((1, 3, 32, 32), -0.8)
    source[..., 16:] = 0.5
    state = source + 0.3
    evidence = torch.ones(1, 1, 32, 32)
    evidence[..., 16:] = 0.01
    kept = (gate_change(source, state, 0.5, evidence) - source)[0, 0, 16]
    assert kept[:12].min() > 0.27 and kept[20:].max() < 0.03
    alike = (gate_change(source, state, 0.5) - source)[0, 0, 16]
    torch.testing.assert_close(alike, torch.full((32,), 0.3 / (1 + 0.5**4)))


def test_the_gate_is_the_same_alone_and_in_company_and_for_any_shape() -> None:
    source = torch.rand(3, 3, 24, 200, generator=torch.Generator().manual_seed(1)) * 2 - 1
    state = (source + 0.3 * source.flip(0)).clamp(-1, 1)
    evidence = torch.rand(3, 1, 24, 200)
    together = gate_change(source, state, 0.5, evidence)
    for n in range(3):
        part = slice(n, n + 1)
        torch.testing.assert_close(gate_change(source[part], state[part], 0.5, evidence[part]), together[part])
    assert ((together - source).abs() <= (state - source).abs() + 1e-6).all()
    assert (together - state).abs().max() > 0.01


def test_large_colours_of_the_source_are_kept_by_their_share_and_strokes_stay() -> None:
    source = torch.zeros(1, 3, 64, 64)
    tint = torch.tensor([0.4, -0.4, 0.0]).view(1, 3, 1, 1).expand_as(source)
    hue = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1)
    stripes = 0.2 * (torch.arange(64) % 2 * 2 - 1.0).view(1, 1, 1, 64) * hue
    lighter = torch.full_like(source, 0.1)
    kept = keep_colors(source, source + tint + stripes + lighter, 0.75)
    middle = (kept - source)[..., 8:-8, 8:-8]
    torch.testing.assert_close(middle, (0.25 * tint + stripes + lighter)[..., 8:-8, 8:-8], atol=0.01, rtol=0)


def test_a_share_of_zero_keeps_no_colours_and_one_all_large_ones() -> None:
    source, state = random_pictures(2, 40), torch.zeros(2, 3, 40, 40)
    assert keep_colors(source, state, 0.0) is state
    flat, tinted = torch.zeros(1, 3, 32, 32), torch.tensor([0.3, 0.0, -0.3]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    torch.testing.assert_close(keep_colors(flat, tinted, 1.0), flat, atol=1e-5, rtol=0)
