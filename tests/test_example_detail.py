"""Fine detail by example: what a coarse picture lacks, from pictures that look like it around each place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.energy import enlarged, pooled
from models.example_detail import COARSE, EXAMPLES, FINE, ExampleDetail


def pictures(count: int, seed: int = 0) -> Tensor:
    """Grey pictures with blots and noise: (count, 3, FINE, FINE)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.nn.functional.interpolate(
        torch.rand(count, 1, 8, 8, generator=generator) - 0.5, (FINE, FINE), mode="bicubic", align_corners=False
    )
    fine = 0.2 * torch.randn(count, 1, FINE, FINE, generator=generator)
    return (coarse + fine).clamp(-1, 1).repeat(1, 3, 1, 1)


def own_detail(x: Tensor) -> Tensor:
    return (x - enlarged(pooled(x, 2)))[:, :1]


@pytest.fixture(scope="module")
def examples() -> ExampleDetail:
    """Twenty pictures as they are."""
    detail = ExampleDetail()
    detail.get_buffer("luma")[:20] = pictures(20)[:, 0]
    return detail


def test_a_picture_that_is_an_example_gets_its_own_detail_and_its_mirror_image_the_mirrored_one(
    examples: ExampleDetail,
) -> None:
    x = pictures(20)[:3]
    found = examples(pooled(x, 2))
    assert found.shape == (3, 1, FINE, FINE)
    torch.testing.assert_close(found, own_detail(x), atol=0.03, rtol=0)
    torch.testing.assert_close(examples(pooled(x.flip(3), 2)), found.flip(3), atol=1e-4, rtol=0)


def test_each_place_has_its_own_examples(examples: ExampleDetail) -> None:
    """An upper and a lower half of two examples get the detail of both, but for where they meet."""
    one, other = pictures(20)[:2]
    both = torch.cat([one[:, : FINE // 2], other[:, FINE // 2 :]], 1)[None]
    found = examples(pooled(both, 2))
    for part, whole in ((slice(0, 12), one), (slice(52, 64), other)):
        wanted = own_detail(whole[None])[0, :, part]
        assert (found[0, :, part] - wanted).square().mean() < 0.05 * wanted.square().mean()


def test_what_no_example_shows_becomes_what_they_show(examples: ExampleDetail) -> None:
    """A blot too many goes; what is left is the example, as strong as it was."""
    x = pictures(20)[:1]
    spoilt = pooled(x, 2)
    spoilt[..., 10:13, 6:9] -= 0.6
    mended = enlarged(spoilt)[:, :1] + examples(spoilt)
    place = (..., slice(18, 28), slice(10, 20))
    before, after = (enlarged(spoilt) - x)[:, :1][place].square().mean(), (mended - x[:, :1])[place].square().mean()
    assert after < 0.3 * before
    faint = pooled(x, 2) * 0.5
    relief = pooled(enlarged(faint)[:, :1] + examples(faint), 2).std()
    assert 0.8 < float(relief / faint[:, :1].std()) < 1.2


def test_two_eyes_come_from_the_same_pictures() -> None:
    """Two examples, each alike on both sides; a place that looks like neither follows its mirrored one."""
    halves = pictures(2)[..., : FINE // 2]
    detail = ExampleDetail()
    detail.get_buffer("luma")[:2] = torch.cat([halves, halves.flip(3)], 3)[:, 0]
    for number, half in enumerate(halves[:, None]):
        x = torch.cat([half, torch.zeros_like(half)], 3)
        found = detail(pooled(x, 2))[..., 52:62]
        wanted = detail.get_buffer("luma")[:, None, :, 52:62]
        alike = [(found * (w - w.mean())).mean() for w in wanted]
        assert alike[number] > alike[1 - number]


def test_how_light_a_picture_is_does_not_matter(examples: ExampleDetail) -> None:
    x = pooled(pictures(20)[:2], 2) * 0.5
    torch.testing.assert_close(examples(x + 0.3), examples(x), atol=1e-4, rtol=0)


def test_a_batch_equals_singles_and_other_sizes_are_squeezed(examples: ExampleDetail) -> None:
    x = pooled(pictures(4, seed=9), 2)
    together = examples(x)
    assert torch.equal(torch.cat([examples(one[None]) for one in x]), together)
    assert together.abs().max() > 0.05
    assert examples(torch.zeros(1, 3, 40, 56)).shape == (1, 1, 80, 112)


def test_no_picture_is_kept_as_it_is_but_only_what_the_others_make_of_it() -> None:
    x = pictures(20)
    kept = ExampleDetail()
    kept.fit(x)
    blends = kept.get_buffer("luma")[:20, None]
    own = (own_detail(blends) * own_detail(x)).mean((1, 2, 3)) / own_detail(x).square().mean((1, 2, 3))
    assert own.abs().max() < 0.2, "its noise is not in its own blend"
    assert own_detail(blends).square().mean() > 0.3 * own_detail(x).square().mean(), "which is as fine as a picture"
    changed = x.clone()
    changed[3] = pictures(1, seed=50)[0]
    again = ExampleDetail()
    again.fit(changed)
    assert not torch.equal(again.get_buffer("luma")[4], kept.get_buffer("luma")[4]), "but in those of others"
    kept.fit(x[:1])
    assert not kept.get_buffer("luma").any(), "of one there are no others"


def test_without_examples_nothing_is_added_and_only_so_many_are_kept() -> None:
    assert not ExampleDetail()(torch.rand(2, 3, COARSE, COARSE)).any()
    full = ExampleDetail()
    full.fit(pictures(EXAMPLES + 2)[:, :, ::2, ::2])
    assert int(full.get_buffer("luma").flatten(1).any(1).sum()) == (EXAMPLES + 2) // 2
