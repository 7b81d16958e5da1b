"""What several test files share: tiny models of every kind, and the folders of real pictures where they are."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from models.config import ModelConfig, Upsampling
from models.density import MIN_PICTURES, Density, fit_density
from models.energy import pooled
from models.gate import DomainProbe, blended, fit_probe
from models.model import Model, build
from models.palette import Palette, fit_palette
from models.schedule import Level, Schedule
from models.student import Student
from models.terms.perceptual import PerceptualEnergy
from models.terms.pixels import PixelConfig, PixelEnergy
from models.terms.statistics import StatisticsConfig, StatisticsEnergy
from models.terms.textured import TexturedConfig, TexturedEnergy
from models.terms.trunk import load_trunk
from models.terms.votes import VotesConfig
from models.transport import Transport, fit_transport

SHARED = Path(__file__).parents[2] / "shared"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
TRANSLATING = ("pixels", "votes", "statistics", "textured")  # the kinds of models that translate
RED, BLUE = (180, 40, 30), (30, 40, 180)
PROBED = 40  # pictures of each domain that the probe is fitted to
KINDS = (*TRANSLATING, "denoiser", "generator")


@pytest.fixture
def apples2oranges() -> Path:
    """The folder with trainA, trainB, testA, testB of real apples and oranges."""
    folder = SHARED / "data" / "apple2orange"
    if not folder.is_dir():
        pytest.skip("the real apples and oranges are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def untrained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A features file of the real SqueezeNet with seeded random weights, so that tests need no download."""
    from torchvision.models import squeezenet1_1

    path = tmp_path_factory.mktemp("weights") / "features.npz"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = squeezenet1_1(weights=None).features.state_dict()
    arrays: dict[str, Any] = {f"features.{key}": value.numpy() for key, value in state.items()}
    np.savez(path, **arrays)
    return path


@pytest.fixture
def features_file() -> Path:
    path = SHARED / "weights" / "squeezenet1_1_features.npz"
    if not path.is_file():
        pytest.skip("the SqueezeNet features are not beside this checkout")
    return path


def pixels_model() -> Model:
    """A small untrained energy from scratch with gradients steep enough to be seen, levels 16 and 32 px."""
    torch.manual_seed(0)
    config = PixelConfig(coarsest=16, finest=32, width=8, max_width=16)
    energy = build(config)
    assert isinstance(energy, PixelEnergy)
    with torch.no_grad():
        energy.project.weight.mul_(100)
    schedule = Schedule((Level(16, 4), Level(32, 3)), white_point=1.01)
    return _finished(energy, ModelConfig(config, schedule, source="noise", target="nothing"))


def votes_model() -> Model:
    """Untrained heads on the trunk with all that shipped models of fruit have: probe, gate, palette, smoothing..."""
    torch.manual_seed(1)
    config = VotesConfig(resolutions=(32, 64), taps=(2, 4, 10), width=8, pixel_width=4)
    energy = build(config)
    assert isinstance(energy, PerceptualEnergy)
    red, blue = (_squares(color, 64, PROBED) for color in (RED, BLUE))
    energy.measure([red[:4], blue[:4]])
    levels = tuple(
        Level(r, 2, step_size=1e4, step_rms=0.05, luma=((2, 1.0),), chroma=((4, 1.0),), smoothing=0.05, jitter=2)
        for r in config.resolutions
    )
    schedule = Schedule(levels, white_point=1.05, gate=0.25, palette=1.0)
    made = ModelConfig(
        config, schedule, source="red things", target="blue things",
        upsampling=Upsampling(chroma=0.0, radius=5, epsilon=0.1), probe=True, student=True,
    )  # fmt: skip
    probe = fit_probe([red], [blue], load_trunk())
    return _finished(energy, made, probe, palette=fit_palette([blue], probe), student=_student())


def textured_model() -> Model:
    """Untrained heads below a fitted texture, with all that shipped models of faces have: transport, likeness..."""
    torch.manual_seed(4)
    things = VotesConfig(resolutions=(32,), taps=(2, 10), width=8, pixel_width=4)
    texture = StatisticsConfig(resolutions=(64,), taps=(0, 2), paintings=PROBED, window=0.33)
    energy = build(TexturedConfig(things, texture))
    assert isinstance(energy, TexturedEnergy)
    red, blue = (_squares(color, 64, PROBED) for color in (RED, BLUE))
    energy.things.measure([pooled(red[:4], 2), pooled(blue[:4], 2)])
    energy.texture.fit([blue])
    levels = (
        Level(32, 2, step_size=1e4, step_rms=0.05, luma=((2, 1.0),), chroma=((4, 1.0),), smoothing=0.05, jitter=2),
        Level(64, 2, step_rms=0.02, momentum=0.8, luma=((2, 1.0),), smoothing=0.05, jitter=2),
    )
    made = ModelConfig(
        energy.config, Schedule(levels, likeness=3.0, transport=1.0), source="red things",
        target="blue things", upsampling=Upsampling(radius=5, epsilon=0.02), probe=True,
    )  # fmt: skip
    probe, transport = fit_probe([red], [blue], load_trunk()), fit_transport(red, blue, load_trunk())
    transport.octaves.fit(blue)
    return _finished(energy, made, probe, transport=transport)


def statistics_model() -> Model:
    """A style of four paintings, with momentum."""
    config = StatisticsConfig(resolutions=(32, 64), taps=(0, 2), paintings=4, content=6.0, content_tap=4)
    energy = build(config)
    assert isinstance(energy, StatisticsEnergy)
    energy.fit([_squares((120, 120, 40), 64)])
    levels = tuple(Level(r, 2, step_rms=0.05, momentum=0.8, luma=((2, 1.0),), chroma=((4, 1.0),)) for r in (32, 64))
    return _finished(energy, ModelConfig(config, Schedule(levels, white_point=10.0), source="photos", target="stripes"))


def denoiser_model() -> Model:
    """An untrained energy of a model that removes noise; it is not calibrated."""
    torch.manual_seed(2)
    config = PixelConfig(coarsest=16, finest=32, width=4, max_width=8)
    levels = (Level(16, 3, denoise_scale=6.0), Level(32, 2, denoise_scale=4.0))
    return _finished(build(config), ModelConfig(config, Schedule(levels, white_point=10.0), target="cats"))


def generator_model() -> Model:
    """Untrained heads on the trunk that make pictures from a density of red ones; they are not calibrated."""
    torch.manual_seed(3)
    config = VotesConfig(resolutions=(32, 64), taps=(2, 4), width=8, pixel_width=4)
    energy = build(config)
    assert isinstance(energy, PerceptualEnergy)
    red = _squares(RED, 64, MIN_PICTURES)
    energy.measure([red[:4]])
    levels = tuple(
        Level(r, 2, step_size=1e4, step_rms=0.05, luma=((2, 1.0),), smoothing=0.05, jitter=2)
        for r in config.resolutions
    )
    probe = fit_probe([red], [blended(red)], load_trunk())
    return _finished(energy, ModelConfig(config, Schedule(levels), target="red things"), probe, fit_density(red))


_MAKERS: dict[str, Callable[[], Model]] = {
    "pixels": pixels_model, "votes": votes_model, "statistics": statistics_model, "textured": textured_model,
    "denoiser": denoiser_model, "generator": generator_model,
}  # fmt: skip


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind -> the file of a small model of this kind. All KINDS are there."""
    folder = tmp_path_factory.mktemp("model")
    files = {kind: folder / f"{'tiny' if kind == 'pixels' else kind}.safetensors" for kind in _MAKERS}
    for kind, make in _MAKERS.items():
        make().save(files[kind])
    return files


@pytest.fixture(scope="session")
def tiny_model(model_files: dict[str, Path]) -> Path:
    """The quickest model that translates, for tests where the kind does not matter."""
    return model_files["pixels"]


@pytest.fixture(params=TRANSLATING)
def any_model(request: pytest.FixtureRequest, model_files: dict[str, Path]) -> Path:
    """Each kind of model that translates."""
    return model_files[request.param]


@pytest.fixture(params=KINDS)
def every_model(request: pytest.FixtureRequest, model_files: dict[str, Path]) -> Path:
    """Each kind of model."""
    return model_files[request.param]


@pytest.fixture(scope="session")
def domains() -> tuple[Image.Image, Image.Image]:
    """A picture of the source and one of the target domain of the model on votes."""
    red, blue = ((_squares(color, 64, PROBED)[0] + 1) * 127.5 for color in (RED, BLUE))
    source, target = (Image.fromarray(x.permute(1, 2, 0).byte().numpy()) for x in (red, blue))
    return source, target


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG of 100 x 75 px with a white ground, a red disc and some texture."""
    y, x = np.mgrid[:75, :100]
    picture = np.full((75, 100, 3), 255, np.uint8)
    inside = (x - 50) ** 2 + (y - 38) ** 2 < 26**2
    picture[inside] = (180, 40, 30)
    picture[inside] += (np.random.default_rng(0).integers(0, 30, (int(inside.sum()), 3))).astype(np.uint8)
    path = tmp_path_factory.mktemp("photo") / "disc.jpg"
    Image.fromarray(picture).save(path, quality=95)
    return path


def _squares(color: tuple[int, int, int], side: int, count: int = 4) -> torch.Tensor:
    """Noisy pictures of one colour, (count, 3, side, side) in [-1, 1]."""
    base = torch.tensor(color).view(1, 3, 1, 1) / 127.5 - 1
    coarse = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(sum(color)))
    return (base + 0.2 * F.interpolate(coarse, (side, side), mode="bilinear")).clamp(-1, 1)


def _finished(
    energy: torch.nn.Module,
    config: ModelConfig,
    probe: DomainProbe | None = None,
    density: Density | None = None,
    transport: Transport | None = None,
    palette: Palette | None = None,
    student: Student | None = None,
) -> Model:
    energy.eval().requires_grad_(False)
    return Model(energy, config, probe, density, transport, palette, student)  # type: ignore[arg-type]


def _student() -> Student:
    """One that has learned nothing, and makes all pictures bluer."""
    student = Student(load_trunk()).requires_grad_(False)
    assert student.change.bias is not None
    student.change.bias.copy_(torch.tensor([-0.5, 0.0, 0.5]))
    return student


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was not tested here, and for want of what: a green run that skipped half is no proof."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
        terminalreporter.section("not tested here")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:4d}  {reason}")
        terminalreporter.line(f"{len(skipped):4d}  in all")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium of this machine."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    program = os.environ.get("BROWSER_FOR_TESTS") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield browser
        browser.close()
