"""The engine: pictures in, the frames of their chain and results out. Command line, web and batch all call this."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.config import ModelConfig
from models.energy import pooled
from models.model import Energy, Model
from models.names import FILE_NAME
from models.registry import locate
from models.sampling import ChainState, pyramid, sample, shared_noise
from models.schedule import Schedule
from models.terms.pixels import HEAD_RESOLUTION, PixelConfig
from translate import __version__
from translate.images.read import open_image
from translate.images.types import LoadedImage
from translate.trajectory import Frame, saliency

Picture = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | LoadedImage

LONGEST = 8  # the working copy is at most this many times longer than the model's pictures are wide
PROBE_SIDE = 128  # short side, in pixels, of what the domain check looks at
PREVIEW = 512  # short side, in pixels, of the pictures that frames show


@dataclass(frozen=True, eq=False)
class Result:
    """What a translation gives.

    picture: RGB, the size of the source. frames: one per step. made: how the picture was made, for its metadata.
    seconds: time in the engine; pictures of one batch share it evenly. photo: the source. translator: who made it.
    """

    picture: Image.Image
    frames: tuple[Frame, ...]
    made: dict[str, object]
    seconds: float
    photo: LoadedImage
    translator: Translator = field(repr=False)

    @property
    def energies(self) -> tuple[float, ...]:
        """The energy after each step; see Frame.energy."""
        return tuple(frame.energy for frame in self.frames)

    @cached_property
    def saliency(self) -> NDArray[np.float32]:
        """How much each pixel of the working copy was moved along the chain, (h, w); see trajectory.saliency."""
        return saliency(self.frames)

    @cached_property
    def energy_maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What each cell of source and result adds to the energy of the last level; see Translator.energy_map.

        Both (rows, columns), comparable with each other; (1, 1) without frames.
        """
        if not self.frames:
            return np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
        last = self.frames[-1]
        return self.translator.energy_map(last.source, last.level), self.translator.energy_map(last.state, last.level)


class Translator:
    """One direction, ready to translate.

    Calls from several threads do not disturb each other, but gain nothing unless torch is held to fewer threads than
    there are cores, as translate/folders/run.py does.
    """

    def __init__(self, model: Model, name: str) -> None:
        self.model, self.name = model, name

    @classmethod
    def load(cls, name: str | os.PathLike[str], device: str = "auto") -> Translator:
        """A shipped name, a model file, a run folder or owner/name on the Hub.

        device: auto, cpu, cuda or mps. Raises BadModel, and ValueError for a device that is not there.
        """
        chosen = pick_device(device)
        path = locate(os.fspath(name))
        model = Model.load(path).to(chosen)
        local = Path(name)
        folder = local.resolve() if local.is_dir() else path.resolve().parent if local.is_file() else local
        return cls(model, folder.name if path.name == FILE_NAME else path.stem)

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    @property
    def digest(self) -> str:
        """Names these very weights; see models.model.digest."""
        return self.model.digest

    @property
    def device(self) -> torch.device:
        return self.model.device

    def __call__(
        self,
        picture: Picture,
        *,
        strength: float | None = None,
        steps: int | None = None,
        size: int | None = None,
        seed: int = 0,
        watch: Callable[[Frame], None] | None = None,
    ) -> Result:
        """Translate one picture: a path, bytes, a binary file, a PIL picture or a Photo.

        strength: length of the chain in 0..2; 0 gives the picture back, None is the model's own.
        steps: those of a stage that takes any, at strength 1, None is the model's own. size: short side of the working
        copy in pixels, None the model's own. seed: of the noise that gradients are taken at and, where there is any, of
        the chain; results of two seeds hardly differ. watch: hears of every step.
        Raises ImageError, ValueError.
        """
        return self.batch([picture], strength=strength, steps=steps, size=size, seed=seed, watch=watch)[0]

    def frames(
        self,
        picture: Picture,
        *,
        strength: float | None = None,
        steps: int | None = None,
        size: int | None = None,
        seed: int = 0,
    ) -> Iterator[Frame]:
        """The steps of one translation, as they are made; arguments as above. Close the iterator to stop."""
        schedule, working = self._plan(strength, steps, size)
        for frames in self._run([_photo(picture)], schedule, working, seed):
            yield frames[0]

    def batch(
        self,
        pictures: Sequence[Picture],
        *,
        strength: float | None = None,
        steps: int | None = None,
        size: int | None = None,
        seed: int = 0,
        watch: Callable[[Frame], None] | None = None,
    ) -> list[Result]:
        """Translate several pictures, each as it would be alone. Those whose working copies have the same shape share
        their forward passes where the chain has no noise.

        Holds all of them in memory. Arguments as for a call. Raises ImageError, ValueError.
        """
        begin = time.perf_counter()
        schedule, working = self._plan(strength, steps, size)
        photos = [_photo(picture) for picture in pictures]
        groups: dict[tuple[int, int, int], list[int]] = {}
        for number, photo in enumerate(photos):
            # Batches of other sizes round otherwise, and long chains with noise carry that on to what one can see.
            alone = number if schedule.random else 0
            groups.setdefault((*_working_shape(photo.rgb.size, schedule, working), alone), []).append(number)
        films: list[tuple[Frame, ...]] = [()] * len(photos)
        for members in groups.values():
            rows = []
            for row in self._run([photos[n] for n in members], schedule, working, seed):
                rows.append(row)
                if watch is not None:
                    for frame in row:
                        watch(frame)
            for place, number in enumerate(members):
                films[number] = tuple(row[place] for row in rows)
        finished = [_finished(photo.rgb, film) for photo, film in zip(photos, films, strict=True)]
        seconds = (time.perf_counter() - begin) / max(1, len(photos))
        made = self._made(strength, schedule, working, seed)
        return [
            Result(picture, film, made, seconds, photo, self)
            for picture, film, photo in zip(finished, films, photos, strict=True)
        ]

    def check(self, *, strength: float | None = None, steps: int | None = None, size: int | None = None) -> int:
        """Look at settings before any picture is opened. Returns the number of steps that a picture will take;
        raises ValueError with one sentence."""
        schedule, _ = self._plan(strength, steps, size)
        return schedule.steps

    def made(
        self, *, strength: float | None = None, steps: int | None = None, size: int | None = None, seed: int = 0
    ) -> dict[str, object]:
        """What these settings would leave as the `made` of a result. Raises ValueError as `check` does."""
        return self._made(strength, *self._plan(strength, steps, size), seed)

    @property
    def energy(self) -> Energy:
        """The network, on the device."""
        return self.model.energy

    def energy_map(self, state: Tensor, level: int) -> NDArray[np.float32]:
        """What each place of a frame's picture (1, 3, h, w) adds to its energy at its level: (rows, columns)."""
        return self.energy.map(state.to(self.device), self.config.schedule.levels[level].resolution)[0].cpu().numpy()

    def accepts(self, picture: Picture) -> bool | None:
        """Whether a photo looks like the source domain; None where the model cannot tell. Raises ImageError."""
        if self.model.probe is None:
            return None
        rgb = _photo(picture).rgb
        small = rgb.resize(_scaled_to(rgb.size, PROBE_SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
        x = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        return self.model.probe.accepts(x.to(self.device))[0]

    def working_shape(self, width: int, height: int, size: int | None = None) -> tuple[int, int]:
        """Height and width of the working copy of a picture; those with the same share their forward passes."""
        return _working_shape((width, height), *self._plan(None, None, size))

    def _plan(self, strength: float | None, steps: int | None, size: int | None) -> tuple[Schedule, int]:
        if self.config.source is None:
            raise ValueError(f"{self.name} makes pictures from noise, it cannot translate one")
        if steps is not None and steps < 0:
            raise ValueError(f"steps must be 0 or more, not {steps}")
        schedule = self.config.schedule.scaled(self.config.strength if strength is None else strength, steps)
        natural = self.config.schedule.finest
        working = natural if size is None else size
        if not natural // 2 <= working <= 4 * natural:
            raise ValueError(f"size must lie between {natural // 2} and {4 * natural} px, not {working}")
        return schedule, working

    def _made(self, strength: float | None, schedule: Schedule, working: int, seed: int) -> dict[str, object]:
        return {
            "model": self.name,
            "digest": self.digest,
            "strength": self.config.strength if strength is None else strength,
            "steps": "+".join(str(level.steps) for level in schedule.levels),
            "size": working,
            "seed": seed,
            "version": __version__,
        }

    def _run(self, photos: Sequence[LoadedImage], schedule: Schedule, working: int, seed: int) -> Iterator[list[Frame]]:
        """The chain over photos whose working copies have the same shape: one list of frames per step."""
        shape = _working_shape(photos[0].rgb.size, schedule, working)
        cell = schedule.finest // HEAD_RESOLUTION if isinstance(self.config.energy, PixelConfig) else 1
        copies = np.stack([_working_copy(photo.rgb, shape, cell) for photo in photos])
        pixels = (torch.from_numpy(copies).permute(0, 3, 1, 2).float() / 127.5 - 1).to(self.device)
        sources = pyramid(pixels.contiguous(memory_format=torch.channels_last), schedule)
        previews = [_preview(photo.rgb) for photo in photos]
        numbers = {level.resolution: number for number, level in enumerate(schedule.levels)}

        def shown(x: Tensor, resolution: int) -> Tensor:
            factor = schedule.finest // resolution
            return x[..., : shape[0] // factor, : shape[1] // factor].cpu().contiguous()

        befores = [shown(x, level.resolution) for x, level in zip(sources, schedule.levels, strict=True)]
        evidence = self._evidence(pixels[..., : shape[0], : shape[1]], schedule)
        generator = torch.Generator().manual_seed(seed)
        noise = shared_noise(generator)
        steps = sample(self.energy.at, schedule, sources[0], sources, noise=noise, generator=generator)
        for step, energies in self._with_energies(steps):
            level = numbers[step.resolution]
            before, reached = befores[level], shown(step.x, step.resolution)
            yield [
                Frame(
                    level, step.index + 1, energies[n], before[n : n + 1], reached[n : n + 1], previews[n],
                    schedule.gate, schedule.keep_color,
                    None if evidence is None else evidence[level][n : n + 1], self.config.upsampling,
                )
                for n in range(len(photos))
            ]  # fmt: skip

    def _evidence(self, pixels: Tensor, schedule: Schedule) -> list[Tensor] | None:
        """What the probe says to the working copies, at the resolution of each level; None where nobody asks it."""
        if self.model.probe is None or not schedule.gate:
            return None
        found = self.model.probe.evidence(pixels).cpu()
        return [pooled(found, schedule.finest // level.resolution) for level in schedule.levels]

    def _with_energies(self, steps: Iterator[ChainState]) -> Iterator[tuple[ChainState, list[float]]]:
        """Each step with the energy AFTER it: the next step brings it, but for the last step of a level."""
        held: ChainState | None = None
        for step in steps:
            if held is not None:
                same_level = step.resolution == held.resolution
                yield held, step.energy.tolist() if same_level else self._energy_of(held)
            held = step
        if held is not None:
            yield held, self._energy_of(held)

    @torch.no_grad()
    def _energy_of(self, step: ChainState) -> list[float]:
        energies: list[float] = self.energy(step.x, step.resolution).tolist()
        return energies


def pick_device(name: str = "auto") -> torch.device:
    """auto takes cuda, then mps, then cpu. Raises ValueError for a device this machine lacks."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if there[device])
    if name not in there:
        raise ValueError(f"there is no device {name}; choose auto, cpu, cuda or mps")
    if not there[name]:
        raise ValueError(f"this machine, or its torch, has no {name} device")
    return torch.device(name)


def _photo(picture: Picture) -> LoadedImage:
    return picture if isinstance(picture, LoadedImage) else open_image(picture)


def _finished(rgb: Image.Image, film: Sequence[Frame]) -> Image.Image:
    """As Frame.onto, but the array of a large source is gone before that of the result becomes a picture."""
    if not film:
        return rgb.copy()
    changed = film[-1].apply_to(np.asarray(rgb))
    return Image.fromarray(changed)


def _working_shape(sides: tuple[int, int], schedule: Schedule, working: int) -> tuple[int, int]:
    """Height and width of the working copy of a picture with these sides, width first: short side `working`, both
    such that they pool evenly down to the coarsest stage."""
    unit = schedule.finest // schedule.coarsest
    short, long = sorted(sides)
    scale = min(working / short, LONGEST * working / long)
    width, height = (max(unit, round(side * scale / unit) * unit) for side in sides)
    return height, width


def _working_copy(rgb: Image.Image, shape: tuple[int, int], cell: int) -> NDArray[np.uint8]:
    """(h, w, 3), padded by reflection at the right and the bottom to whole cells of the energy's head."""
    height, width = shape
    small = np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0))
    return np.pad(small, ((0, -height % cell), (0, -width % cell), (0, 0)), mode="reflect")


def _scaled_to(sides: tuple[int, int], short: int) -> tuple[int, int]:
    """Sides with the shorter one at `short` pixels, the longer one at no more than LONGEST times as many."""
    scale = short / min(sides)
    width, height = (max(1, min(LONGEST * short, round(scale * side))) for side in sides)
    return width, height


def _preview(rgb: Image.Image) -> NDArray[np.uint8]:
    scale = PREVIEW / min(rgb.size)
    if scale >= 1:
        return np.asarray(rgb)
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    return np.asarray(rgb.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
