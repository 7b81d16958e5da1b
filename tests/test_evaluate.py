"""The measures: definitions against brute force, zeros and symmetries, and a calibration on real pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from translate.metrics import evaluation as measures
from translate.metrics.evaluation import (
    Bench,
    DomainClassifier,
    Recolouring,
    Report,
    evaluate,
    evaluate_folders,
    kid,
    table,
    to_square,
    white_change,
)
from translate.metrics.features import TAPS, FeaturesError, SqueezeFeatures, as_tensor

SHARED = Path(__file__).parents[2] / "shared"
FEATURES_FILE = SHARED / "weights" / "squeezenet1_1_features.npz"
needs_features = pytest.mark.skipif(not FEATURES_FILE.is_file(), reason="no SqueezeNet features in ../shared/weights")


@pytest.fixture(scope="module")
def untrained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real architecture with seeded random weights, so that these tests need no download."""
    from torchvision.models import squeezenet1_1

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = squeezenet1_1(weights=None).state_dict()
    save_npz(folder / "features.npz", {k: v.numpy() for k, v in state.items() if k.startswith("features.")})
    rng = np.random.default_rng(0)
    linear = {
        f"lin{i}.model.1.weight": rng.random((1, channels, 1, 1), np.float32)
        for i, channels in enumerate(TAPS.values())
    }
    save_npz(folder / "lpips_v0.1_squeeze.npz", linear)
    return folder / "features.npz"


@pytest.fixture(scope="module")
def untrained(untrained_file: Path) -> SqueezeFeatures:
    return SqueezeFeatures.load(untrained_file)


def save_npz(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def noise_pictures(n: int, seed: int = 0, size: int = 64, mean: float = 128) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.normal(mean, 20, (size, size, 3)).clip(0, 255).astype(np.uint8)) for _ in range(n)]


# --- KID


def test_kid_equals_the_double_loop() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.random((5, 7)), rng.random((4, 7)) + 0.3
    u, v = x / y.std(), y / y.std()

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 7 + 1) ** 3

    within_u = sum(k(u[i], u[j]) for i in range(5) for j in range(5) if i != j) / 20
    within_v = sum(k(v[i], v[j]) for i in range(4) for j in range(4) if i != j) / 12
    between = sum(k(a, b) for a in u for b in v) / 20
    assert kid(x, y) == pytest.approx(within_u + within_v - 2 * between, rel=1e-10)


def test_kid_by_hand() -> None:
    """Within x: (0 * 4 + 1)^3; within y: (-1 * 1 + 1)^3; between: the mean of 1, 1, (-4 + 1)^3 and (4 + 1)^3."""
    assert kid(np.array([[0.0], [4.0]]), np.array([[-1.0], [1.0]])) == pytest.approx(1 + 0 - 2 * 25)


def test_kid_is_unbiased_on_one_distribution_whatever_the_sizes() -> None:
    rng = np.random.default_rng(2)
    for n, m in ((8, 8), (8, 40), (60, 20)):
        values = [kid(rng.normal(1, 1, (n, 16)), rng.normal(1, 1, (m, 16))) for _ in range(300)]
        standard_error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values)) < 4 * standard_error
        assert min(values) < 0  # a biased estimate cannot be


def test_kid_of_two_halves_is_small_and_rises_with_a_shift() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(1, 1, (400, 32))
    x, y = features[::2], features[1::2]
    values = [kid(x, y + shift) for shift in (0, 0.2, 0.5, 1.0, 2.0)]
    assert abs(values[0]) < 0.1
    assert values == sorted(values) and values[-1] > 1


def test_kid_does_not_know_the_unit_of_the_features() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.random((10, 6)), rng.random((12, 6))
    assert kid(1000 * x, 1000 * y) == pytest.approx(kid(x, y))


def test_kid_refuses_a_single_picture() -> None:
    with pytest.raises(ValueError, match="two"):
        kid(np.ones((1, 4)), np.ones((5, 4)))


# --- domain rate


def test_classifier_separates_what_is_separable() -> None:
    rng = np.random.default_rng(5)
    sources, targets = rng.normal(0, 1, (60, 40)), rng.normal(0, 1, (90, 40))
    targets[:, 3] += 6
    rule = DomainClassifier.fit(sources, targets)
    fresh = rng.normal(0, 1, (100, 40))
    assert rule.accuracy > 0.95
    assert rule.rate(fresh) < 0.1
    fresh[:, 3] += 6
    assert rule.rate(fresh) > 0.9


def test_leave_one_out_accuracy_is_that_of_leaving_out() -> None:
    rng = np.random.default_rng(6)
    sources, targets = rng.normal(0, 1, (25, 8)), rng.normal(0.7, 1, (25, 8))
    rule = DomainClassifier.fit(sources, targets)
    z = (np.concatenate([sources, targets]) - rule.mean) / rule.scale
    labels = np.repeat([-1.0, 1.0], 25)
    right = 0
    for i in range(50):
        rest = np.delete(np.arange(50), i)
        gram = z[rest].T @ z[rest] / 8 + rule.penalty * np.eye(8)
        weight = np.linalg.solve(gram, z[rest].T @ labels[rest] / 8)
        right += np.sign(z[i] @ weight) == labels[i]
    assert rule.accuracy == pytest.approx(right / 50)


def test_classifier_says_chance_on_noise_and_survives_constant_features() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(0, 1, (80, 20))
    x[:, 0] = 5
    rule = DomainClassifier.fit(x[:40], x[40:])
    assert 0.25 < rule.accuracy < 0.75
    assert np.isfinite(rule.weight).all()


# --- white change


def test_white_change_counts_only_white_source_pixels() -> None:
    source = np.full((1, 3, 4, 4), 100, np.uint8)
    source[0, :, 0, :2] = 255
    source[0, :, 1, 0] = (250, 250, 239)  # not white: one channel is below 240
    output = source.copy()
    output[0, :, 2:] = 0
    assert white_change(source, output) == 0
    output[0, 2, 0, 0] = 243  # 12 levels in one of 2 pixels x 3 channels; no wrap-around in uint8
    assert white_change(source, output) == pytest.approx(2)


def test_white_change_weighs_pixels_not_pictures() -> None:
    source = np.zeros((2, 3, 2, 2), np.uint8)
    source[0] = 255
    source[1, :, 0, 0] = 255
    output = source.copy()
    output[1, :, 0, 0] = 245
    assert white_change(source, output) == pytest.approx(10 / 5)


def test_white_change_of_dark_pictures_is_none() -> None:
    dark = np.full((2, 3, 4, 4), 239, np.uint8)
    assert white_change(dark, dark) is None


# --- features


def test_pooled_features(untrained: SqueezeFeatures) -> None:
    pictures = as_tensor(noise_pictures(3, size=256))
    pooled = untrained.pooled(pictures)
    assert pooled.shape == (3, 512) and bool(pooled.isfinite().all())
    assert torch.allclose(pooled, untrained.pooled(pictures.float(), batch=2), atol=1e-5)
    assert not torch.allclose(pooled, untrained.pooled(pictures.flip(1)), atol=1e-3)


def test_content_distance_is_zero_symmetric_and_grows(untrained: SqueezeFeatures) -> None:
    a = as_tensor(noise_pictures(2))
    b = a.float() + 10 * torch.randn(a.shape, generator=torch.Generator().manual_seed(0))
    forth, back = untrained.content_distance(a, b), untrained.content_distance(b, a)
    same, far = untrained.content_distance(a, a), untrained.content_distance(a, a.float() + 3 * (b - a.float()))
    assert forth is not None and back is not None and same is not None and far is not None
    assert forth.shape == (2,)
    assert bool((same == 0).all()) and torch.allclose(forth, back)
    assert bool((far > forth).all()) and bool((forth > 0).all())


def test_content_distance_refuses_different_shapes(untrained: SqueezeFeatures) -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        untrained.content_distance(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 32))


def test_without_linear_layers_there_is_no_content_distance(untrained: SqueezeFeatures, tmp_path: Path) -> None:
    state = {f"features.{key}": value.numpy() for key, value in untrained.layers.state_dict().items()}
    save_npz(tmp_path / "alone.npz", state)
    alone = SqueezeFeatures.load(tmp_path / "alone.npz")
    assert alone.content_distance(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)) is None


def test_missing_and_wrong_feature_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match=r"nothing\.npz; without --features"):
        SqueezeFeatures.load(tmp_path / "nothing.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "other.npz", weight=np.zeros(3))
    for name in ("text.npz", "other.npz"):
        with pytest.raises(FeaturesError, match=name) as caught:
            SqueezeFeatures.load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_no_file_and_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models.squeezenet1_1", offline)
    with pytest.raises(FeaturesError, match=r"--features FILE\.npz") as caught:
        SqueezeFeatures.load(None)
    assert "\n" not in str(caught.value)


# --- the whole


def test_recolouring_moves_mean_and_spread() -> None:
    moved = Recolouring(np.array([120.0, 100.0, 90.0]), np.array([15.0, 12.0, 10.0]))(noise_pictures(1, mean=140)[0])
    pixels = np.asarray(moved, np.float64)
    assert np.allclose(pixels.mean((0, 1)), (120, 100, 90), atol=0.5)
    assert np.allclose(pixels.std((0, 1)), (15, 12, 10), atol=0.5)


def test_recolouring_towards_a_set_takes_all_its_pixels() -> None:
    black, white = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), "white")
    palette = Recolouring.towards([black, white])
    assert np.allclose(palette.mean, 127.5) and np.allclose(palette.std, 127.5)


@pytest.mark.parametrize("shape", [(256, 256), (300, 256), (100, 731), (256, 257), (1, 9)])
def test_to_square(shape: tuple[int, int]) -> None:
    assert to_square(Image.new("L", shape), 256).size == (256, 256)


def test_report_has_floors_and_model(untrained: SqueezeFeatures) -> None:
    sources, targets = noise_pictures(6, 0, mean=80), noise_pictures(6, 1, mean=180)

    def brighten(picture: Image.Image) -> Image.Image:
        return picture.point(lambda level: min(level + 100, 255))

    report = evaluate(brighten, sources, targets, None, None, untrained, size=64)
    assert list(report.rows) == ["untouched", "recolouring", "model"]
    untouched, model = report.rows["untouched"], report.rows["model"]
    assert untouched.content == 0 and untouched.rate == 0 and untouched.n == 6 and untouched.white is None
    assert model.rate == 1 and model.content and model.content > 0
    assert untouched.kid_x100 is not None and model.kid_x100 is not None and model.kid_x100 < untouched.kid_x100
    assert any("fitted on the measured" in note for note in report.notes)
    assert any("mostly noise" in note for note in report.notes)
    again = json.loads(json.dumps(report.as_dict()))
    assert again["rows"]["model"]["n"] == 6 and again["rows"]["untouched"]["white"] is None


def test_bench_measures_ready_made_outputs(untrained: SqueezeFeatures) -> None:
    sources, targets = noise_pictures(4, 0), noise_pictures(4, 1)
    bench = Bench.prepare(sources, targets, noise_pictures(5, 2), noise_pictures(5, 3), untrained, size=64)
    assert bench.measure(sources) == bench.measure(sources, sources=sources)
    one = bench.measure(targets[:1], sources=sources[:1])
    assert one.kid_x100 is None and one.n == 1
    with pytest.raises(ValueError, match="3 outputs cannot be compared with 4 sources"):
        bench.measure(targets[:3])
    with pytest.raises(ValueError, match="no source"):
        Bench.prepare([], targets, None, None, untrained, size=64)


def test_table_never_says_fid(untrained: SqueezeFeatures) -> None:
    from rich.console import Console

    figures = measures.Figures(kid_x100=72.04, rate=0.881, content=None, white=5.52, n=50)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(Report({"model": figures}, ("a note",))))
    shown = console.export_text()
    assert "SqueezeNet-KID x100" in shown and "72.0" in shown and "0.88" in shown and "a note" in shown
    assert "FID" not in shown


class Brighter:
    """Stands for a translator: the picture made brighter by its strength."""

    name = "brighter"
    digest = "0123456789ab"
    device = torch.device("cpu")

    def __call__(self, picture: Image.Image, *, strength: float | None) -> SimpleNamespace:
        return SimpleNamespace(picture=picture.point(lambda level: min(int(level + 50 * (strength or 1)), 255)))


def save(folder: Path, pictures: list[Image.Image], suffix: str = ".png") -> Path:
    folder.mkdir()
    for i, picture in enumerate(pictures):
        picture.save(folder / f"{i}{suffix}")
    return folder


def test_folders(untrained_file: Path, tmp_path: Path) -> None:
    source, target = save(tmp_path / "source", noise_pictures(4, 0)), save(tmp_path / "target", noise_pictures(4, 1))
    rival = save(tmp_path / "rival", noise_pictures(3, 0, mean=200), ".bmp")
    (source / "bad.jpg").write_bytes(b"not a picture")
    said: list[str] = []
    report = evaluate_folders(
        Brighter(),
        source,
        target,
        translated=rival,
        strengths=[None, 2],
        features=untrained_file,
        size=64,
        say=said.append,
    )
    assert list(report.rows) == ["untouched", "recolouring", "folder rival", "brighter", "brighter, strength 2"]
    assert [row.n for row in report.rows.values()] == [4, 4, 3, 4, 4]
    assert len([sentence for sentence in said if "bad.jpg" in sentence]) == 1
    assert "reading 5 pictures of source" in said and "translating: brighter" in said
    assert any("3 of the 4" in note for note in report.notes)


def test_folders_without_pictures_are_one_sentence(untrained_file: Path, tmp_path: Path) -> None:
    source, empty = save(tmp_path / "source", noise_pictures(2)), save(tmp_path / "empty", [])
    for folders in ((empty, source), (source, empty), (source, tmp_path / "nowhere")):
        with pytest.raises(ValueError, match=r"empty|nowhere"):
            evaluate_folders(Brighter(), *folders, features=untrained_file, size=64)


# --- real pictures


@needs_features
def test_calibration_on_the_rivals_pictures() -> None:
    """A CycleGAN's oranges: white change 5.5, content distance 0.18, and much nearer to oranges than the apples."""
    folder = SHARED / "rival" / "cyclegan_apple2orange"
    if not folder.is_dir():
        pytest.skip("no ../shared/rival")

    def read(name: str, step: int) -> list[Image.Image]:
        return [Image.open(path).convert("RGB") for path in sorted((folder / name).iterdir())[::step]]

    before, after = (as_tensor(read(name, 1)) for name in ("apples", "apples_to_oranges"))
    assert white_change(before.numpy(), after.numpy()) == pytest.approx(5.5, abs=0.05)
    features = SqueezeFeatures.load(FEATURES_FILE)
    distance = features.content_distance(before[::5], after[::5])
    assert distance is not None and float(distance.mean()) == pytest.approx(0.18, abs=0.03)
    apples, oranges, made = (
        features.pooled(as_tensor(read(name, 3))).numpy() for name in ("apples", "oranges", "apples_to_oranges")
    )
    assert kid(apples, oranges) > 2 * kid(made, oranges)
