"""The engine: identity, repeatability, batches, sizes, and real energies that fall."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from models.config import ModelConfig
from models.errors import BadModel
from models.model import Model, build
from models.schedule import Level, Schedule
from models.terms.pixels import PixelConfig
from translate import Translator, __version__
from translate.folders import ray as ray_engine
from translate.pipeline import SAMPLER_VERSION, pick_device
from translate.trajectory import make_strip, saliency, save_gif


@pytest.fixture(scope="module")
def translator(tiny_model: Path) -> Translator:
    return Translator.load(tiny_model, device="cpu")


@pytest.fixture
def any_translator(any_model: Path) -> Translator:
    return Translator.load(any_model, device="cpu")


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def test_it_changes_the_picture_and_keeps_its_size(translator: Translator, photo: Path) -> None:
    result = translator(photo)
    assert result.picture.size == (100, 75)
    assert np.abs(pixels(result.picture) - pixels(result.photo.rgb)).mean() > 1
    assert len(result.frames) == len(result.energies) == 7


@pytest.mark.parametrize("settings", [{"strength": 0}, {"steps": 0}])
def test_no_steps_are_the_identity(any_translator: Translator, photo: Path, settings: dict[str, Any]) -> None:
    result = any_translator(photo, **settings)
    assert np.array_equal(pixels(result.picture), pixels(result.photo.rgb))
    assert result.frames == ()
    assert not result.saliency.any()


def test_the_same_call_gives_the_same_bytes(any_translator: Translator, photo: Path) -> None:
    first, second = any_translator(photo, seed=3), any_translator(photo, seed=3)
    assert first.picture.tobytes() == second.picture.tobytes()
    assert first.energies == second.energies


@pytest.mark.parametrize("noisy", [{"temperature": 0.05}, {"smoothing": 0.5}, {"jitter": 3}])
def test_a_seed_decides_where_the_chain_has_noise(noisy: dict[str, Any], tmp_path: Path, photo: Path) -> None:
    network = PixelConfig(coarsest=16, finest=16, width=4, max_width=8)
    torch.manual_seed(0)
    schedule = Schedule((Level(16, 3, step_rms=0.1, step_size=1e4, **noisy),))
    config = ModelConfig(network, schedule, source="a", target="b")
    Model(build(network).eval(), config).save(tmp_path / "n.safetensors")
    translator = Translator.load(tmp_path / "n.safetensors", device="cpu")
    one, again, other = (translator(photo, seed=seed).picture.tobytes() for seed in (1, 1, 2))
    assert one == again != other


def test_a_batch_gives_what_its_pictures_give_alone(any_translator: Translator) -> None:
    """To the bit with noise, which depends on the seed alone; without it other batch sizes round by 1 level."""
    translator = any_translator
    generator = np.random.default_rng(0)
    sizes = [(64, 48), (48, 64), (64, 48), (40, 40), (128, 96)]
    pictures = [Image.fromarray(generator.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
    together = translator.batch(pictures)
    for picture, result in zip(pictures, together, strict=True):
        alone = translator(picture)
        difference = np.abs(pixels(alone.picture) - pixels(result.picture)).max()
        assert difference <= (0 if translator.config.schedule.random else 1)
        assert result.energies == pytest.approx(alone.energies, rel=1e-3, abs=1e-3)


def test_frames_are_the_steps_of_the_same_chain(translator: Translator, photo: Path) -> None:
    result = translator(photo)
    frames = list(translator.frames(photo))
    assert [(f.level, f.step) for f in frames] == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (1, 3)]
    assert [f.energy for f in frames] == list(result.energies)
    assert np.array_equal(frames[-1].apply_to(np.asarray(result.photo.rgb)), pixels(result.picture))
    assert any(not np.array_equal(pixels(a.picture), pixels(b.picture)) for a, b in pairwise(frames))


def test_watch_hears_of_every_step_and_check_counts_them(translator: Translator, photo: Path) -> None:
    heard: list[int] = []
    translator(photo, strength=2, callback=lambda frame: heard.append(frame.step))
    assert len(heard) == translator.check(strength=2) == 14


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (700, 3), (33, 1000), (31, 17), (640, 480)])
def test_any_size_comes_back_in_its_own(translator: Translator, size: tuple[int, int]) -> None:
    assert translator(Image.new("RGB", size, (180, 40, 30))).picture.size == size


def test_paths_bytes_files_and_pictures_are_the_same_picture(translator: Translator, photo: Path) -> None:
    expected = translator(photo).picture.tobytes()
    with photo.open("rb") as file, Image.open(photo) as opened:
        for form in (str(photo), photo.read_bytes(), file, opened.copy()):
            assert translator(form).picture.tobytes() == expected


def test_how_it_was_made_names_no_path(translator: Translator, photo: Path) -> None:
    made = translator(photo, strength=1.5, seed=7).provenance
    assert made == {
        "model": "tiny", "digest": translator.digest, "strength": 1.5, "steps": "6+4", "size": 32, "seed": 7,
        "version": __version__, "sampler_version": SAMPLER_VERSION,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "word"), [({"strength": 9}, "strength"), ({"size": 5}, "size"), ({"steps": -1}, "steps")]
)
def test_settings_out_of_range_are_a_sentence(translator: Translator, photo: Path, settings, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        translator(photo, **settings)


@pytest.mark.parametrize("kind", ["denoiser", "generator"])
def test_a_model_without_a_source_does_not_translate(kind: str, model_files: dict[str, Path], photo: Path) -> None:
    with pytest.raises(ValueError, match="translates none"):
        Translator.load(model_files[kind], device="cpu")(photo)


def test_devices_that_are_not_there_are_a_sentence() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="no device tpu"):
        pick_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no cuda"):
            pick_device("cuda")
    with pytest.raises(BadModel):
        Translator.load("no such model")


def test_saliency_is_the_path_length_of_every_pixel(translator: Translator, photo: Path) -> None:
    result = translator(photo)
    assert result.saliency.shape == (32, 42)
    one_stage = list(translator.frames(photo))[:4]
    moved = [(b.state - a.state).abs() for a, b in pairwise(one_stage)]
    first = (one_stage[0].state - one_stage[0].source).abs()
    expected = (first + sum(moved)).mean(dim=1)[0].numpy()
    np.testing.assert_allclose(saliency(one_stage), expected, atol=1e-6)


def test_strips_and_animations_show_the_chain(translator: Translator, photo: Path, tmp_path: Path) -> None:
    result = translator(photo)
    strip = make_strip(result.photo.rgb, result.frames, count=4)
    assert strip.size == (400, 75)
    assert np.array_equal(pixels(strip)[:, :100], pixels(result.photo.rgb))
    assert np.array_equal(pixels(strip)[:, 300:], pixels(result.frames[-1].picture))
    save_gif(result.photo.rgb, result.frames, tmp_path / "chain.gif")
    with Image.open(tmp_path / "chain.gif") as gif:
        assert len(list(ImageSequence.Iterator(gif))) == 8
    assert make_strip(result.photo.rgb, ()).size == (100, 75)
    save_gif(result.photo.rgb, (), tmp_path / "still.gif")


def test_a_model_that_travelled_makes_the_same_bytes(any_translator: Translator, photo: Path) -> None:
    """As bytes, which is how it gets to the workers of Ray: with its probe, its gate and its upsampling."""
    there = ray_engine.unpacked(pickle.loads(pickle.dumps(ray_engine.packed(any_translator))), "cpu")
    here, away = any_translator(photo, seed=5), there(photo, seed=5)
    assert away.picture.tobytes() == here.picture.tobytes()
    assert away.energies == here.energies
    assert away.provenance == here.provenance
    assert there.accepts(photo) == any_translator.accepts(photo)


def test_the_probe_tells_the_source_domain_from_the_target(
    model_files: dict[str, Path], domains: tuple[Image.Image, Image.Image]
) -> None:
    translator = Translator.load(model_files["votes"], device="cpu")
    assert [translator.accepts(picture) for picture in domains] == [True, False]
    assert Translator.load(model_files["pixels"], device="cpu").accepts(domains[0]) is None


def test_the_gate_keeps_what_speaks_for_neither_domain(model_files: dict[str, Path], photo: Path) -> None:
    """Without its probe, or without its gate, a model changes more or other pixels: both must be in the file."""
    whole = Translator.load(model_files["votes"], device="cpu")
    ungated = Translator(whole.model.edited(gate=0.0), whole.name)
    blind = Translator(replace(whole.model, probe=None), whole.name)
    pictures = [pixels(translator(photo).picture) for translator in (whole, ungated, blind)]
    assert np.abs(pictures[0] - pictures[1]).max() > 1
    assert np.abs(pictures[0] - pictures[2]).max() > 1


@pytest.mark.parametrize("name", ["apple2orange", "orange2apple"])
def test_energies_fall_along_the_chain_on_real_pictures(name: str, apples2oranges: Path) -> None:
    folder = apples2oranges / ("testA" if name == "apple2orange" else "testB")
    translator = Translator.load(name, device="cpu")
    results = translator.batch(sorted(folder.iterdir())[:4])
    levels = translator.config.schedule.scaled(translator.config.strength).levels
    for number, level in enumerate(levels):
        ends = [[f for f in result.frames if f.level == number][-1] for result in results if level.steps]
        energy = translator.energy.at(level.resolution)
        # Of the pictures as they are: along the chain the energy is that of smoothed ones, which goes up and down.
        falls = [float(energy(end.source) - energy(end.reached)) for end in ends]
        assert not falls or np.mean(falls) > 0
        if level is levels[-1]:  # a coarse level hands on what the next one takes further
            assert np.mean([fall > 0 for fall in falls]) > 0.7
