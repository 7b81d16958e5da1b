"""The engine: pictures in, the frames of their chain and results out. Command line, web and batch all call this."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.config import ModelConfig
from models.gate import SIDE as PROBE_SIDE
from models.model import Energy, Model
from models.names import FILE_NAME
from models.registry import locate
from models.sampling import ChainState, pyramid, sample, shared_noise, smoothed
from models.schedule import Level, Schedule
from models.student import level_of
from models.terms.pixels import HEAD_RESOLUTION, PixelConfig
from translate import __version__
from translate.images.read import open_image
from translate.images.types import LoadedImage, Source
from translate.options import SamplingOptions
from translate.trajectory import Frame, saliency
from translate.window import Window, find_window

LONGEST = 8  # the working copy is at most this many times longer than the model's pictures are wide
SAMPLER_VERSION = 6  # raise it whenever the same model, image and options give other pixels
DEFAULT = SamplingOptions()
PREVIEW = 512  # short side, in pixels, of the pictures that frames show


@dataclass(frozen=True, eq=False)
class Result:
    """What a translation gives.

    picture: RGB, the size of the source. frames: one per step. provenance: how it was made, for its metadata.
    seconds: time in the engine; pictures of one batch share it evenly. photo: the source. translator: who made it.
    """

    picture: Image.Image
    frames: tuple[Frame, ...]
    provenance: dict[str, object]
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


@dataclass(frozen=True)
class _Chain:
    """SamplingOptions with the model's own filled in; `schedule` is scaled to the strength."""

    strength: float
    schedule: Schedule
    size: int
    seed: int
    fast: bool


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
        image: Source,
        options: SamplingOptions = DEFAULT,
        *,
        callback: Callable[[Frame], None] | None = None,
        **changes: Any,
    ) -> Result:
        """Translate one image: a path, bytes, a binary file, a PIL image, an array, uint8 (H, W, 3), or a LoadedImage.

        options: see SamplingOptions; single ones may be given by name, as in `translator("a.jpg", strength=0.8)`.
        callback: called after each step; what it raises ends the chain. Raises ImageError, ValueError; TypeError for
        what is no image, and for numbers of another type.
        """
        return self.batch([image], options, callback=callback, **changes)[0]

    def frames(self, image: Source, options: SamplingOptions = DEFAULT, **changes: Any) -> Iterator[Frame]:
        """Yield the steps of one translation as they are made; arguments as above. Close the iterator to stop."""
        chain = self._chain(options.updated(**changes))
        for frames in self._run([open_image(image)], chain):
            yield frames[0]

    def batch(
        self,
        images: Sequence[Source],
        options: SamplingOptions = DEFAULT,
        *,
        callback: Callable[[Frame], None] | None = None,
        **changes: Any,
    ) -> list[Result]:
        """Translate several images, each as it would be alone. Those whose working copies have the same shape share
        their forward passes, unless the schedule adds noise.

        Holds all of them in memory. Arguments as for a call. Raises ImageError, ValueError.
        """
        begin = time.perf_counter()
        if isinstance(images, str | bytes | os.PathLike):
            raise TypeError("batch takes a list of images; for one image call the translator itself")
        chain = self._chain(options.updated(**changes))
        photos = [open_image(image) for image in images]
        groups: dict[tuple[int, int, int], list[int]] = {}
        for number, photo in enumerate(photos):
            # Batches of other sizes round otherwise, and long chains with noise carry that on to what one can see.
            alone = number if chain.schedule.random else 0
            shape = self._shape(photo.rgb.size, chain)
            groups.setdefault((*shape, alone), []).append(number)
        trajectories: list[tuple[Frame, ...]] = [()] * len(photos)
        for members in groups.values():
            rows = []
            for row in self._run([photos[n] for n in members], chain):
                rows.append(row)
                if callback is not None:
                    for frame in row:
                        callback(frame)
            for place, number in enumerate(members):
                trajectories[number] = tuple(row[place] for row in rows)
        finished = [_finished(photo.rgb, frames) for photo, frames in zip(photos, trajectories, strict=True)]
        seconds = (time.perf_counter() - begin) / max(1, len(photos))
        provenance = self._provenance(chain)
        return [
            Result(picture, frames, provenance, seconds, photo, self)
            for picture, frames, photo in zip(finished, trajectories, photos, strict=True)
        ]

    def check(self, options: SamplingOptions = DEFAULT, **changes: Any) -> int:
        """Check options before any image is opened. Returns the number of steps that an image will take; raises
        ValueError with one sentence."""
        return self._chain(options.updated(**changes)).schedule.steps

    def provenance(self, options: SamplingOptions = DEFAULT, **changes: Any) -> dict[str, object]:
        """The provenance that a result of these options has. Raises ValueError as `check` does."""
        return self._provenance(self._chain(options.updated(**changes)))

    def task_provenance(self, task: str, **details: object) -> dict[str, object]:
        """The provenance of what another task than translation makes with this model."""
        return {"task": task, "model": self.name, "digest": self.digest, **details, "version": __version__}

    @property
    def energy(self) -> Energy:
        """The network, on the device."""
        return self.model.energy

    def energy_map(self, state: Tensor, level: int) -> NDArray[np.float32]:
        """What each place of a frame's picture (1, 3, h, w) adds to its energy at its level: (rows, columns)."""
        return self.energy.map(state.to(self.device), self.config.schedule.levels[level].resolution)[0].cpu().numpy()

    def accepts(self, image: Source) -> bool | None:
        """Whether a photo looks like the source domain; None where the model cannot tell. Raises ImageError."""
        if self.model.probe is None:
            return None
        rgb = open_image(image).rgb
        small = rgb.resize(_scaled_to(rgb.size, PROBE_SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
        x = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        return self.model.probe.accepts(x.to(self.device))[0]

    def working_shape(self, width: int, height: int, size: int | None = None) -> tuple[int, int]:
        """Height and width of the working copy of a picture; those with the same share their forward passes."""
        chain = self._chain(SamplingOptions(size=size))
        return self._shape((width, height), chain)

    def _chain(self, options: SamplingOptions) -> _Chain:
        """The options with the model's own filled in. Raises ValueError for those that the model cannot follow."""
        config = self.config
        if config.source is None:
            raise ValueError(f"{self.name} makes or restores pictures, it translates none")
        options = options.checked()
        strength = config.strength if options.strength is None else options.strength
        schedule = config.schedule.scaled(strength, options.steps)
        if options.fast:
            if self.model.student is None:
                raise ValueError(
                    f"{self.name} has no student for fast translations; "
                    "`models distil` can teach one to models of things that keep their shape"
                )
            schedule = config.schedule.one_pass(level_of(config)).scaled(min(1.0, strength), 1)
        natural = schedule.finest
        size = natural if options.size is None else options.size
        if not natural // 2 <= size <= 4 * natural:
            raise ValueError(f"size must lie between {natural // 2} and {4 * natural} px, not {size}")
        return _Chain(strength, schedule, size, options.seed, options.fast)

    def _provenance(self, chain: _Chain) -> dict[str, object]:
        return {
            "model": self.name,
            "digest": self.digest,
            "strength": chain.strength,
            "steps": "+".join(map(str, chain.schedule.counts)),
            "size": chain.size,
            "seed": chain.seed,
            "version": __version__,
            "sampler_version": SAMPLER_VERSION,
            **({"fast": True} if chain.fast else {}),
        }

    def _shape(self, sides: tuple[int, int], chain: _Chain) -> tuple[int, int]:
        """Height and width of the working copy of a photo with these sides, width first. A window is square."""
        square = self.model.transport is not None
        return _working_shape((min(sides), min(sides)) if square else sides, chain.schedule, chain.size)

    def _run(self, photos: Sequence[LoadedImage], chain: _Chain) -> Iterator[list[Frame]]:
        """The chain over photos whose working copies have the same shape: one list of frames per step."""
        schedule, transport = chain.schedule, self.model.transport
        shape = self._shape(photos[0].rgb.size, chain)
        cell = schedule.finest // HEAD_RESOLUTION if isinstance(self.config.energy, PixelConfig) else 1
        windows = [None if transport is None else find_window(transport.framing, photo.rgb) for photo in photos]
        parts = [_part(photo.rgb, window) for photo, window in zip(photos, windows, strict=True)]
        copies = np.stack([_working_copy(part, shape, cell) for part in parts])
        pixels = (torch.from_numpy(copies).permute(0, 3, 1, 2).float() / 127.5 - 1).to(self.device)
        sources = pyramid(pixels.contiguous(memory_format=torch.channels_last), schedule)
        previews = [_preview(photo.rgb) for photo in photos]
        numbers = {level.resolution: number for number, level in enumerate(schedule.levels)}

        def shown(x: Tensor, resolution: int) -> Tensor:
            factor = schedule.finest // resolution
            return x[..., : shape[0] // factor, : shape[1] // factor].cpu().contiguous()

        befores = [shown(x, level.resolution) for x, level in zip(sources, schedule.levels, strict=True)]
        evidence = self.model.evidence(sources, schedule)
        finish = self.model.finish(sources, evidence, schedule)
        told = None if evidence is None else [shown(x, r) for x, r in zip(evidence, numbers, strict=True)]
        generator = torch.Generator().manual_seed(chain.seed)
        noise = shared_noise(generator)
        if chain.fast:
            steps = self._one_pass(sources[-1], chain)
        else:
            steps = sample(
                self.energy.at, schedule, sources[0], sources,
                transport=transport, finish=finish, noise=noise, generator=generator,
            )  # fmt: skip
        for step, energies in self._with_energies(steps, schedule):
            level = numbers[step.resolution]
            before, reached = befores[level], shown(step.x, step.resolution)
            yield [
                Frame(
                    level, step.index + 1, energies[n], before[n : n + 1], reached[n : n + 1], previews[n],
                    schedule.gate, schedule.keep_color, schedule.likeness,
                    None if told is None else told[level][n : n + 1], self.config.upsampling, windows[n],
                )
                for n in range(len(photos))
            ]  # fmt: skip

    @torch.no_grad()
    def _one_pass(self, source: Tensor, chain: _Chain) -> Iterator[ChainState]:
        """What the student makes of pictures, as the one step of a chain."""
        assert self.model.student is not None
        resolution = chain.schedule.finest
        if chain.schedule.steps:
            energies = self.energy(source, resolution)
            yield ChainState(self.model.student.advance(source, chain.strength), energies, resolution, 0)

    def _with_energies(
        self, steps: Iterator[ChainState], schedule: Schedule
    ) -> Iterator[tuple[ChainState, list[float]]]:
        """Each step with the energy AFTER it: the next step brings it, but for the last step of a level."""
        levels = {level.resolution: level for level in schedule.levels}
        held: ChainState | None = None
        for step in steps:
            if held is not None:
                same_level = step.resolution == held.resolution
                yield held, step.energy.tolist() if same_level else self._energy_of(held, levels[held.resolution])
            held = step
        if held is not None:
            yield held, self._energy_of(held, levels[held.resolution])

    @torch.no_grad()
    def _energy_of(self, step: ChainState, level: Level) -> list[float]:
        """With noise as steps have it, and of its own: without it the last energy of a level would be another kind."""
        noise = shared_noise(torch.Generator().manual_seed(0))
        energies: list[float] = self.energy(smoothed(step.x, level, noise), level.resolution).tolist()
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


def _part(rgb: Image.Image, window: Window | None) -> Image.Image:
    return rgb if window is None else Image.fromarray(window.cut(np.asarray(rgb)))


def _finished(rgb: Image.Image, frames: Sequence[Frame]) -> Image.Image:
    """The photo with the last frame's change; a large source's array is gone before the result becomes a picture."""
    if not frames:
        return rgb.copy()
    changed = frames[-1].apply_to(np.asarray(rgb))
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
