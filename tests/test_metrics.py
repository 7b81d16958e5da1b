"""The measures: definitions against brute force and against torchmetrics, zeros and symmetries."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.helpers import noise_images
from translate.metrics.extremes import bands, extremes
from translate.metrics.pairs import results_of, shared_sources, to_square
from translate.metrics.recolouring import Recolouring

distances = pytest.importorskip("translate.metrics.distances")
torchmetrics = pytest.importorskip("torchmetrics", reason="the extra evaluate is not installed")
from translate.metrics.distances import fid, kid, parts, spread, white_change  # noqa: E402
from translate.metrics.networks import as_tensor  # noqa: E402
from translate.metrics.rate import DomainClassifier  # noqa: E402
from translate.metrics.squeezenet import FeaturesError, Lpips, squeezenet  # noqa: E402


def normal(seed: int, count: int, width: int = 16, mean: float = 1.0, sd: float = 1.0) -> Tensor:
    return mean + sd * torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


class Given(torch.nn.Module):
    num_features = 16

    def forward(self, x: Tensor) -> Tensor:
        return x


def by_torchmetrics(x: Tensor, y: Tensor, size: int, subsets: int = 1) -> tuple[float, float]:
    """KID x100 and its spread over subsets."""
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = KernelInceptionDistance(Given(), subsets=subsets, subset_size=size)
    metric.update(y, real=True)
    metric.update(x, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean, sd = metric.compute()
    return 100 * float(mean), 100 * float(sd)


# --- KID


def test_kid_equals_the_double_loop() -> None:
    x, y = normal(0, 5, 7), normal(1, 4, 7) + 0.3
    unit = spread(y)

    def k(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / unit**2 / 7 + 1) ** 3

    own = sum(k(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
    other = sum(k(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
    between = sum(k(a, b) for a in x for b in y) / 20
    assert kid(x, y, unit).value == pytest.approx(100 * (own + other - 2 * between), rel=1e-10)


def test_kid_is_that_of_torchmetrics_on_the_same_features() -> None:
    x, y = normal(0, 40), normal(1, 40, mean=1.3)
    assert kid(x, y).value == pytest.approx(by_torchmetrics(x, y, size=40)[0], rel=1e-6)
    few = x[:25]
    mean, sd = by_torchmetrics(few, y, size=20, subsets=2000)
    assert kid(few, y).value == pytest.approx(mean, abs=4 * sd / 2000**0.5)


def test_two_result_sets_of_very_different_contrast_have_one_kernel() -> None:
    """What the table divides by is the target's spread alone: a flat result set cannot make its own kernel."""
    y = normal(0, 60)
    faint, loud = normal(1, 60, sd=0.05), normal(2, 60, sd=5.0)
    unit = spread(y)
    for x in (faint, loud):
        assert kid(x, y, unit).value == pytest.approx(by_torchmetrics(x / unit, y / unit, size=60)[0], rel=1e-6)
    by_own_spread = [by_torchmetrics(x / spread(x), y / spread(x), size=60)[0] for x in (faint, loud)]
    assert abs(by_own_spread[0] / kid(faint, y, unit).value) > 2, "with a kernel of its own a row says something else"


def test_kid_is_unbiased_on_one_distribution_and_its_error_is_honest() -> None:
    found = [kid(normal(2 * n, 24), normal(2 * n + 1, 40)) for n in range(60)]
    values = np.array([each.value for each in found])
    assert abs(values.mean()) < 4 * values.std() / len(values) ** 0.5
    assert values.min() < 0, "a biased estimate cannot be"
    shifted = [kid(normal(2 * n, 24), normal(2 * n + 1, 40, mean=2.0)) for n in range(60)]
    true, told = np.std([each.value for each in shifted]), np.mean([each.sd for each in shifted])
    assert 0.8 * true < told < 1.5 * true


def test_rows_with_the_same_pictures_have_the_same_figures_and_draw_no_random_number() -> None:
    x, y = normal(0, 30), normal(1, 30)
    before = torch.get_rng_state()
    assert kid(x, y) == kid(x, y)
    assert torch.equal(torch.get_rng_state(), before)


def test_kid_rises_with_a_shift_and_refuses_three_pictures() -> None:
    x = normal(3, 100)
    values = [kid(x[::2], x[1::2] + shift).value for shift in (0, 0.2, 0.5, 1.0, 2.0)]
    assert values == sorted(values)
    with pytest.raises(ValueError, match="at least 4 pictures"):
        kid(x[:3], x)


def test_parts_are_of_the_whole() -> None:
    x, y = normal(0, 30), normal(1, 50, mean=1.5)
    own = kid(x, y).value - float(parts(x, y).mean())
    assert kid(x + 1, y).value - float(parts(x + 1, y).mean()) == pytest.approx(own), "a constant of the target's"
    x[4] = -8
    assert int(parts(x, y).argmax()) == 4


def test_fid_of_one_set_is_zero_and_of_a_shift_its_square() -> None:
    x = normal(0, 400)
    assert fid(x, x) == pytest.approx(0, abs=1e-6)
    assert fid(x + 2, x) == pytest.approx(16 * 4, rel=1e-6)


def test_spread_of_equal_features_is_one() -> None:
    assert spread(torch.ones(5, 3)) == 1


# --- domain rate


def test_classifier_separates_what_is_separable() -> None:
    sources, targets = normal(0, 60, 40, 0), normal(1, 90, 40, 0)
    targets[:, 3] += 6
    rule = DomainClassifier.fit(sources, targets)
    assert rule.accuracy is not None and rule.accuracy > 0.9
    fresh = normal(2, 100, 40, 0)
    assert rule.rate(fresh).share < 0.1
    fresh[:, 3] += 6
    found = rule.rate(fresh)
    assert found.share > 0.9
    assert found.low < found.share <= found.high <= 1


def test_classifier_says_chance_on_noise_and_survives_constant_features() -> None:
    x = normal(0, 80, 20)
    x[:, 0] = 5
    rule = DomainClassifier.fit(x[:40], x[40:])
    assert rule.accuracy is not None and 0.2 < rule.accuracy < 0.8


def test_both_domains_count_alike_however_many_pictures_they_have() -> None:
    sources, targets = normal(0, 20, 10, 0), normal(1, 400, 10, 0.8)
    rule = DomainClassifier.fit(sources, targets)
    assert rule.rate(normal(2, 300, 10, 0)).share < 0.3


def test_the_interval_of_a_rate_is_wide_for_few_pictures() -> None:
    rule = DomainClassifier.fit(normal(0, 40, 8, 0), normal(1, 40, 8, 3))
    few, many = rule.rate(normal(2, 5, 8, 3)), rule.rate(normal(2, 500, 8, 3))
    assert few.high - few.low > 3 * (many.high - many.low)


# --- white change, recolouring


def test_white_change_counts_only_white_source_pixels() -> None:
    source = np.full((1, 3, 4, 4), 100, np.uint8)
    source[0, :, 0, :2] = 255
    source[0, :, 1, 0] = (250, 250, 239)  # not white: one channel is below 240
    output = source.copy()
    output[0, :, 2:] = 0
    assert white_change(source, output) == 0
    output[0, 2, 0, 0] = 243  # 12 levels in one of 2 pixels x 3 channels; no wrap-around in uint8
    assert white_change(source, output) == pytest.approx(2)
    dark = np.full((2, 3, 4, 4), 239, np.uint8)
    assert white_change(dark, dark) is None


def test_recolouring_moves_mean_and_spread() -> None:
    moved = Recolouring(np.array([120.0, 100.0, 90.0]), np.array([15.0, 12.0, 10.0]))(noise_images(1, mean=140)[0])
    pixels = np.asarray(moved, np.float64)
    assert np.allclose(pixels.mean((0, 1)), (120, 100, 90), atol=0.5)
    assert np.allclose(pixels.std((0, 1)), (15, 12, 10), atol=0.5)
    palette = Recolouring.towards([Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), "white")])
    assert np.allclose(palette.mean, 127.5) and np.allclose(palette.std, 127.5)


# --- SqueezeNet and LPIPS


def test_a_features_file_gives_the_features_of_its_own_network(untrained_file: Path) -> None:
    """Rewritten for torchvision's input it says what it says of BGR pixels minus the Caffe means."""
    from torchvision.models import squeezenet1_1

    plain = squeezenet1_1(weights=None).features
    with np.load(untrained_file) as archive:
        plain.load_state_dict({key.removeprefix("features."): torch.from_numpy(archive[key]) for key in archive})
    pixels = as_tensor(noise_images(2)).float()
    caffe = pixels.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    mean, std = (
        torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1),
        torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1),
    )
    with torch.no_grad():
        expected, found = plain(caffe), squeezenet(untrained_file)((pixels / 255 - mean) / std)
    assert torch.allclose(expected, found, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_lpips_is_zero_symmetric_and_grows(untrained_file: Path) -> None:
    lpips = Lpips(untrained_file)
    a = as_tensor(noise_images(3)).float()
    b = (a + 10 * torch.randn(a.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    forth = lpips(a, b)
    assert forth.shape == (3,)
    assert torch.allclose(forth, lpips(b, a)) and bool((lpips(a, a) == 0).all())
    assert bool((lpips(a, (a + 3 * (b - a)).clamp(0, 255)) > forth).all()) and bool((forth > 0).all())
    assert lpips(a[:1], b[:1]).shape == (1,)
    with pytest.raises(ValueError, match="equal shapes"):
        lpips(a, b[:, :, :32])


def test_missing_and_wrong_features_files_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("not an archive")
    arrays: dict[str, Any] = {"weight": np.zeros(3)}
    np.savez(tmp_path / "other.npz", **arrays)
    for name in ("nothing.npz", "text.npz", "other.npz"):
        with pytest.raises(FeaturesError, match=name) as caught:
            squeezenet(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_features_file_leaves_torchs_own_folder_as_it_was(untrained_file: Path) -> None:
    before = torch.hub.get_dir()
    squeezenet(untrained_file)
    assert torch.hub.get_dir() == before


# --- pairs, sheets


def test_results_are_found_by_the_sources_names() -> None:
    names = ["a", "a-1", "b", "c"]
    results = {stem: Path(f"{stem}.png") for stem in ("a", "a-orange", "a-1-orange", "b-x-y", "d", "bb")}
    found = results_of(names, results)
    assert {source: path.stem for source, path in found.items()} == {"a": "a", "a-1": "a-1-orange", "b": "b-x-y"}


def test_only_sources_with_a_result_in_every_folder_are_compared() -> None:
    sources = {name: Path(name) for name in "abc"}
    one, other = {"a": Path("x"), "b": Path("x")}, {"b": Path("x"), "c": Path("x")}
    assert shared_sources(sources, {Path("one"): one, Path("other"): other}) == ["b"]
    with pytest.raises(ValueError, match="empty holds no picture with the name of a source"):
        shared_sources(sources, {Path("one"): one, Path("empty"): {}})
    with pytest.raises(ValueError, match="no source has a result in each of one, two"):
        shared_sources(sources, {Path("one"): {"a": Path("x")}, Path("two"): {"b": Path("x")}})


@pytest.mark.parametrize("shape", [(256, 256), (300, 256), (100, 731), (256, 257), (1, 9)])
def test_to_square(shape: tuple[int, int]) -> None:
    assert to_square(Image.new("L", shape), 256).size == (256, 256)


def test_a_sheet_shows_best_middle_and_worst() -> None:
    values = np.random.default_rng(0).permutation(60).astype(float)
    best, middle, worst = bands(values)
    assert values[best].tolist() == list(range(12)) and values[worst].tolist() == list(range(48, 60))
    assert values[middle].tolist() == list(range(24, 36))
    assert [len(band) for band in bands([3.0, 1.0, 2.0, 5.0])] == [1, 1, 1]
    colors = [Image.new("RGB", (64, 64), (4 * n, 0, 0)) for n in range(60)]
    sheet = extremes(colors, colors, values, "row")
    assert sheet.getpixel((10, 30)) == (4 * best[0], 0, 0)
