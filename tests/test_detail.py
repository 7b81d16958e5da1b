"""Carrying a change to a finer level and to any size: nothing lost, edges followed, no second exposure, no seams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.config import Upsampling
from models.detail import carried, kept, likeness
from models.energy import enlarged, pooled
from translate import upsample


def carry(picture: NDArray[np.uint8], source: Tensor, result: Tensor) -> NDArray[np.uint8]:
    """With all of the remainder, in luma and in chroma; detail stays where source and result are alike."""
    return upsample.guided_upsample(picture, source, result, Upsampling(), likeness=3.0)


def small(picture: NDArray[np.uint8], width: int, height: int) -> Tensor:
    copy = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    return torch.from_numpy(copy.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def textured(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(40, 200, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(300, 400), (64, 64), (17, 501), (5, 3), (1, 1)])
def test_no_change_gives_the_picture_back_exactly(size: tuple[int, int]) -> None:
    picture = textured(*size)
    source = small(picture, 64, 48)
    assert np.array_equal(carry(picture, source, source), picture)


def test_the_same_shift_everywhere_is_that_shift_at_full_size() -> None:
    picture = textured(300, 400)
    source = small(picture, 64, 48)
    shift = torch.tensor([0.3, -0.2, 0.1])
    expected = (torch.from_numpy(picture) + 127.5 * shift).clamp(0, 255).numpy()
    assert np.abs(carry(picture, source, source + shift.view(1, 3, 1, 1)) - expected).max() <= 1


def test_a_colour_transform_is_applied_to_every_pixel_so_that_all_detail_stays() -> None:
    """Red and blue swapped on smooth ground with fine texture that the small copy cannot see."""
    y, x = np.mgrid[:384, :512]
    ground = np.stack([60 + x / 5, 90 + y / 6, 200 - x / 5], -1)
    picture = (ground + np.random.default_rng(1).normal(0, 12, (384, 512, 1))).clip(0, 255).astype(np.uint8)
    source = small(picture, 128, 96)
    carried = carry(picture, source, source.flip(1))
    detail_before = picture.astype(float) - np.asarray(Image.fromarray(picture).resize((32, 24)).resize((512, 384)))
    detail_after = carried.astype(float) - np.asarray(Image.fromarray(carried).resize((32, 24)).resize((512, 384)))
    assert np.corrcoef(detail_before.mean(-1).ravel(), detail_after.mean(-1).ravel())[0, 1] > 0.95


def test_a_change_on_one_side_of_an_edge_does_not_bleed_over_it() -> None:
    """A dark disc on white is recoloured; plain enlargement of the change would tint a ring of white pixels."""
    y, x = np.mgrid[:512, :512]
    inside = (x - 256) ** 2 + (y - 256) ** 2 < 150**2
    picture = np.where(inside[..., None], [150, 30, 30], [250, 250, 250]).astype(np.uint8)
    source = small(picture, 64, 64)
    share = small(np.repeat(inside[..., None] * np.uint8(255), 3, 2), 64, 64).add(1) / 2
    result = source + share * torch.tensor([60, 80, 0]).view(1, 3, 1, 1) / 127.5
    carried = carry(picture, source, result).astype(int)
    ring = ~inside & ((x - 256) ** 2 + (y - 256) ** 2 < 156**2)
    plain = torch.nn.functional.interpolate(result - source, (512, 512), mode="bilinear")[0].permute(1, 2, 0) * 127.5
    bled = np.abs(carried - picture)[ring].mean()
    assert bled < 0.3 * np.abs(plain.numpy())[ring].mean()
    assert np.abs(carried[inside] - [210, 110, 30]).mean() < 6


def test_tiles_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = textured(301, 203)
    source = small(picture, 32, 48)
    result = source + 0.2 * torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    whole = carry(picture, source, result)
    monkeypatch.setattr(upsample, "TILE", (7, 31))
    tiles = carry(picture, source, result)
    assert np.abs(whole.astype(int) - tiles).max() <= 1, "but for the last bit of rounding"
    assert (whole != tiles).mean() < 1e-3


def test_the_picture_is_not_changed_in_place() -> None:
    picture = textured(40, 40)
    kept = picture.copy()
    source = small(picture, 16, 16)
    carry(picture, source, source + 0.5)
    assert np.array_equal(picture, kept)


def test_chroma_that_no_transform_expresses_can_stay_behind() -> None:
    """Coloured noise on grey ground: without a share of its chroma only its luma is added."""
    picture = np.full((96, 96, 3), 128, np.uint8)
    source = small(picture, 48, 48)
    result = source + 0.4 * torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    colorful, grey, neither = (
        upsample.guided_upsample(picture, source, result, Upsampling(luma=luma, chroma=chroma)).astype(float) - 128
        for luma, chroma in ((1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
    )
    spread = [change.std(axis=2).mean() for change in (colorful, grey, neither)]
    assert spread[0] > 3 * spread[1]
    assert grey.mean(axis=2).std() > 3 * neither.mean(axis=2).std()


def striped(vertical: bool, size: int = 64) -> Tensor:
    """Stripes 4 px wide, (1, 3, size, size), contrast 1."""
    stripes = (torch.arange(size) // 4 % 2 - 0.5).expand(1, 3, size, size)
    return stripes if vertical else stripes.transpose(2, 3)


def test_without_a_change_the_next_level_starts_at_the_source_itself() -> None:
    finer = 2 * torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)) - 1
    coarse = pooled(finer, 2)
    torch.testing.assert_close(carried(coarse, coarse, finer, 3.0), finer, atol=1e-6, rtol=0)


def test_a_change_of_colour_and_contrast_keeps_all_detail_for_the_next_level() -> None:
    finer = striped(True, 128) + 0.05 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    coarse = pooled(finer, 2)
    reached = 0.7 * coarse + torch.tensor([0.2, 0.0, -0.1]).view(1, 3, 1, 1)
    added = carried(reached, coarse, finer, 3.0) - enlarged(reached)
    detail = finer - enlarged(coarse)
    assert (added - detail).square().mean() < 0.01 * detail.square().mean()


def test_detail_of_what_is_no_longer_there_does_not_come_along() -> None:
    finer = striped(True, 128) + 0.05 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    coarse, reached = pooled(finer, 2), striped(False)
    added = carried(reached, coarse, finer, 3.0) - enlarged(reached)
    assert added.square().mean() < 0.05 * (finer - enlarged(coarse)).square().mean()


def test_what_is_missing_there_takes_its_place() -> None:
    finer = striped(True, 128) + 0.05 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    coarse, reached = pooled(finer, 2), striped(False)
    missing = 0.1 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(1))
    added = carried(reached, coarse, finer, 3.0, missing) - enlarged(reached)
    assert (added - missing).square().mean() < 0.1 * missing.square().mean()
    torch.testing.assert_close(carried(coarse, coarse, finer, 3.0, missing), finer, atol=1e-6, rtol=0)
    assert torch.equal(carried(reached, coarse, finer, 0.0, missing), carried(reached, coarse, finer, 0.0))


def test_nor_does_it_at_full_size() -> None:
    """Vertical stripes that have become horizontal ones, with fine texture that the small copy cannot see."""
    fine = np.random.default_rng(0).normal(0, 15, (256, 256, 1))
    stripes = 127.5 * (enlarged(striped(True), 4)[0].permute(1, 2, 0).numpy() + 1)
    picture = (stripes + fine).clip(0, 255).astype(np.uint8)
    source = small(picture, 64, 64)

    flattened = stripes.astype(np.uint8)
    left = [
        np.abs(carry(picture, source, result).astype(float) - carry(flattened, source, result)).mean()
        for result in (source, striped(False))
    ]
    assert left[1] < 0.3 * left[0]


def test_likeness_is_the_correlation_of_luma_and_lies_in_0_to_1() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (2 * torch.rand(2, 3, 20, 30, generator=generator) - 1 for _ in range(2))
    found = likeness(one, other)
    assert found.shape == (2, 1, 20, 30) and found.min() >= 0 and found.max() <= 1
    torch.testing.assert_close(likeness(other, one), found)
    torch.testing.assert_close(likeness(one, one), torch.ones_like(found))
    assert likeness(striped(True), -striped(True)).max() == 0, "a negative has nothing in common with its positive"
    even = torch.zeros(1, 3, 20, 20)
    torch.testing.assert_close(likeness(even, even + 0.5), torch.ones(1, 1, 20, 20))


def test_with_power_0_all_detail_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    reached, other, finer = (torch.rand(1, 3, n, n, generator=generator) / 3 for n in (16, 16, 32))
    torch.testing.assert_close(carried(reached, other, finer, 0.0), finer + enlarged(reached - other))
    assert torch.equal(kept(reached, other, 0.0), torch.ones(1, 1, 16, 16))
