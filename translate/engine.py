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

from models.checkpoint import FILE_NAME, ModelConfig, digest, load_whole
from models.energy import HEAD_RESOLUTION, Energy
from models.langevin import Step, climb, from_tone, pooled, tone_pyramid
from models.locator import Locator, evidence
from models.schedule import Ladder
from models.zoo import locate
from translate import __version__
from translate.frames import Frame, saliency
from translate.pictures import Photo, open_picture
from translate.saliency import energy_map

Picture = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | Photo

LONGEST = 8  # the working copy is at most this many times longer than the model's pictures are wide
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
    photo: Photo
    translator: Translator = field(repr=False)

    @property
    def energies(self) -> tuple[float, ...]:
        """The energy after each step; see Frame.energy."""
        return tuple(frame.energy for frame in self.frames)

    @cached_property
    def saliency(self) -> NDArray[np.float32]:
        """How much each pixel of the working copy was moved along the chain, (h, w); see frames.saliency."""
        return saliency(self.frames)

    @cached_property
    def energy_maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What each cell of source and result adds to the energy of the last stage; see saliency.energy_map.

        Both (rows, columns), comparable with each other; (1, 1) without frames.
        """
        if not self.frames:
            return np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
        last = self.frames[-1]
        return self.translator.energy_map(last.source, last.stage), self.translator.energy_map(last.state, last.stage)


class Translator:
    """One direction, ready to translate.

    Calls from several threads do not disturb each other, but gain nothing unless torch is held to fewer threads than
    there are cores, as translate/batch.py does.
    """

    def __init__(
        self, energy: Energy, config: ModelConfig, *, name: str, digest: str, device: torch.device,
        locator: Locator | None = None,
    ) -> None:  # fmt: skip
        # channels_last makes the narrow layers of the fine stages up to twice as fast.
        self._energy: Energy = energy.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config, self.name, self.digest, self.device = config, name, digest, device
        self._locator = locator if locator is None else locator.to(device)

    @classmethod
    def load(cls, name: str | os.PathLike[str], device: str = "auto") -> Translator:
        """A shipped name, a model file, a run folder or owner/name on the Hub.

        device: auto, cpu, cuda or mps. Raises BadModel, and ValueError for a device that is not there.
        """
        chosen = pick_device(device)
        path = locate(os.fspath(name))
        energy, locator, config = load_whole(path)
        local = Path(name)
        folder = local.resolve() if local.is_dir() else path.resolve().parent if local.is_file() else local
        label = folder.name if path.name == FILE_NAME else path.stem
        return cls(energy, config, name=label, digest=digest(path), device=chosen, locator=locator)

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
        copy in pixels, None the model's own. seed: of the noise, for models whose chain has any. watch: hears of
        every step.
        Raises BadPicture, ValueError.
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
        ladder, working = self._plan(strength, steps, size)
        for frames in self._run([_photo(picture)], ladder, working, seed):
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
        """Translate several pictures; those whose working copies have the same shape share their forward passes.

        Holds all of them in memory. Arguments as for a call. Raises BadPicture, ValueError.
        """
        begin = time.perf_counter()
        ladder, working = self._plan(strength, steps, size)
        photos = [_photo(picture) for picture in pictures]
        groups: dict[tuple[int, int, int], list[int]] = {}
        for number, photo in enumerate(photos):
            # Noise is drawn for a whole batch: where there is some, a seed must not mean something else in company.
            company = number if ladder.random else 0
            groups.setdefault((*_working_shape(photo.rgb.size, ladder, working), company), []).append(number)
        films: list[tuple[Frame, ...]] = [()] * len(photos)
        for members in groups.values():
            rows = []
            for row in self._run([photos[n] for n in members], ladder, working, seed):
                rows.append(row)
                if watch is not None:
                    for frame in row:
                        watch(frame)
            for place, number in enumerate(members):
                films[number] = tuple(row[place] for row in rows)
        finished = [_finished(photo.rgb, film) for photo, film in zip(photos, films, strict=True)]
        seconds, made = (time.perf_counter() - begin) / max(1, len(photos)), self._made(strength, ladder, working, seed)
        return [
            Result(picture, film, made, seconds, photo, self)
            for picture, film, photo in zip(finished, films, photos, strict=True)
        ]

    def check(self, *, strength: float | None = None, steps: int | None = None, size: int | None = None) -> int:
        """Look at settings before any picture is opened. Returns the number of steps that a picture will take;
        raises ValueError with one sentence."""
        ladder, _ = self._plan(strength, steps, size)
        return sum(stage.steps for stage in ladder.stages)

    def made(
        self, *, strength: float | None = None, steps: int | None = None, size: int | None = None, seed: int = 0
    ) -> dict[str, object]:
        """What these settings would leave as the `made` of a result. Raises ValueError as `check` does."""
        return self._made(strength, *self._plan(strength, steps, size), seed)

    @property
    def energy(self) -> Energy:
        """The network, on the device."""
        return self._energy

    def energy_map(self, state: Tensor, stage: int) -> NDArray[np.float32]:
        """The energy of each cell of a frame's picture at its stage; see saliency.energy_map."""
        return energy_map(self._energy, state, self.config.ladder.stages[stage].resolution)

    def working_shape(self, width: int, height: int, size: int | None = None) -> tuple[int, int]:
        """Height and width of the working copy of a picture; those with the same share their forward passes."""
        return _working_shape((width, height), *self._plan(None, None, size))

    def _plan(self, strength: float | None, steps: int | None, size: int | None) -> tuple[Ladder, int]:
        if self.config.source is None:
            raise ValueError(f"{self.name} makes pictures from noise, it cannot translate one")
        ladder = self.config.ladder.with_steps(self.config.strength if strength is None else strength, steps)
        natural = self.config.working
        working = natural if size is None else size
        if not natural // 2 <= working <= 4 * natural:
            raise ValueError(f"size must lie between {natural // 2} and {4 * natural} px, not {working}")
        return ladder, working

    def _made(self, strength: float | None, ladder: Ladder, working: int, seed: int) -> dict[str, object]:
        return {
            "model": self.name,
            "digest": self.digest,
            "strength": self.config.strength if strength is None else strength,
            "steps": "+".join(str(stage.steps) for stage in ladder.stages),
            "size": working,
            "seed": seed,
            "version": __version__,
        }

    def _run(self, photos: Sequence[Photo], ladder: Ladder, working: int, seed: int) -> Iterator[list[Frame]]:
        """The chain over photos whose working copies have the same shape: one list of frames per step."""
        shape = _working_shape(photos[0].rgb.size, ladder, working)
        copies = np.stack([_working_copy(photo.rgb, shape, ladder) for photo in photos])
        pixels = (torch.from_numpy(copies).permute(0, 3, 1, 2).float() / 127.5 - 1).to(self.device)
        sources = tone_pyramid(pixels.contiguous(memory_format=torch.channels_last), ladder)
        previews = [_preview(photo.rgb) for photo in photos]
        stages = {stage.resolution: number for number, stage in enumerate(ladder.stages)}

        def shown(z: Tensor, resolution: int) -> Tensor:
            factor = ladder.finest // resolution
            x = from_tone(z[..., : shape[0] // factor, : shape[1] // factor], ladder.reach)
            return x.clamp(-1, 1).cpu().contiguous()

        def bent_by(step: Step) -> Sequence[Tensor | None]:
            if step.flow is None:
                return [None] * len(photos)
            # What is shown is the working copy without its padding, whose short side may be longer.
            factor = ladder.finest // step.resolution
            unit = min(step.flow.shape[-2:]) * factor / min(shape)
            flow = step.flow[..., : shape[0] // factor, : shape[1] // factor] * unit
            return flow.cpu().contiguous().split(1)

        befores = [shown(z, stage.resolution) for z, stage in zip(sources, ladder.stages, strict=True)]
        counts = self._evidence(pixels, shape, ladder)
        generator = torch.Generator().manual_seed(seed)
        steps = climb(self._energy.at, ladder, sources[0], sources, generator)
        for step, energies in self._with_energies(steps, ladder.reach):
            stage = stages[step.resolution]
            before, reached, flows = befores[stage], shown(step.z, step.resolution), bent_by(step)
            yield [
                Frame(
                    stage, step.index + 1, energies[n], before[n : n + 1], reached[n : n + 1], previews[n],
                    ladder.focus, None if counts is None else counts[stage][n : n + 1], flows[n],
                )
                for n in range(len(photos))
            ]  # fmt: skip

    def _evidence(self, pixels: Tensor, shape: tuple[int, int], ladder: Ladder) -> list[Tensor] | None:
        """What the locator says to the working copies, at the resolution of each stage; None where nobody asks it."""
        if self._locator is None or not ladder.focus:
            return None
        found = evidence(self._locator, pixels[..., : shape[0], : shape[1]]).cpu()
        return [pooled(found, ladder.finest // stage.resolution) for stage in ladder.stages]

    def _with_energies(self, steps: Iterator[Step], reach: float) -> Iterator[tuple[Step, list[float]]]:
        """Each step with the energy AFTER it: the next step brings it, but for the last step of a stage."""
        held: Step | None = None
        for step in steps:
            if held is not None:
                same_stage = step.resolution == held.resolution
                yield held, step.energy.tolist() if same_stage else self._energy_of(held, reach)
            held = step
        if held is not None:
            yield held, self._energy_of(held, reach)

    @torch.no_grad()
    def _energy_of(self, step: Step, reach: float) -> list[float]:
        energies: list[float] = self._energy(from_tone(step.z, reach), step.resolution).tolist()
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


def _photo(picture: Picture) -> Photo:
    return picture if isinstance(picture, Photo) else open_picture(picture)


def _finished(rgb: Image.Image, film: Sequence[Frame]) -> Image.Image:
    """As Frame.onto, but the array of a large source is gone before that of the result becomes a picture."""
    if not film:
        return rgb.copy()
    changed = film[-1].carried(np.asarray(rgb))
    return Image.fromarray(changed)


def _working_shape(sides: tuple[int, int], ladder: Ladder, working: int) -> tuple[int, int]:
    """Height and width of the working copy of a picture with these sides, width first: short side `working`, both
    such that they pool evenly down to the coarsest stage."""
    unit = ladder.finest // ladder.coarsest
    short, long = sorted(sides)
    scale = min(working / short, LONGEST * working / long)
    width, height = (max(unit, round(side * scale / unit) * unit) for side in sides)
    return height, width


def _working_copy(rgb: Image.Image, shape: tuple[int, int], ladder: Ladder) -> NDArray[np.uint8]:
    """(h, w, 3), padded by reflection at the right and the bottom to whole cells of the energy's head."""
    height, width = shape
    small = np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0))
    cell = ladder.finest // HEAD_RESOLUTION
    return np.pad(small, ((0, -height % cell), (0, -width % cell), (0, 0)), mode="reflect")


def _preview(rgb: Image.Image) -> NDArray[np.uint8]:
    scale = PREVIEW / min(rgb.size)
    if scale >= 1:
        return np.asarray(rgb)
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    return np.asarray(rgb.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
