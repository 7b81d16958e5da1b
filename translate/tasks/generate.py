"""Pictures out of nothing: chains that start at noise on the coarsest level and run down to pictures, level by level.

Each step goes a part of the way down the slope and lays a little less noise on the picture than it took away
(Kadkhodaie & Simoncelli, NeurIPS 2021): the noise that is left is read from the slope itself. Between levels the
picture is enlarged, and noise is laid on it once more, for the finer stage to make its texture of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.energy import MultiscaleEnergy, energy_and_grad, enlarged
from models.schedule import Schedule
from translate.images.write import make_folder, save_image
from translate.tasks.calibration import SIGMAS, denoise_scale, require_denoiser

if TYPE_CHECKING:
    from translate.pipeline import Translator

MAX_IMAGES = 256  # pictures a call
STEPS = (120, 20)  # on the first level, and on each of the others
STEP_FRACTION = 0.15  # of the way down that a step goes
NOISE_REMOVAL = 0.8  # 0 would keep the noise as it is, 1 lays none on
START = (0.5, 0.015)  # noise, as shares of the full range: at the start of the first level, and of the others
_AT_ONCE = 16

Noise = Callable[[tuple[int, ...]], Tensor]  # a shape without the batch -> standard normal numbers, (B, *shape)


def generate(
    translator: Translator, count: int = 16, seed: int = 0, callback: Callable[[], None] = lambda: None
) -> list[Image.Image]:
    """`count` pictures at the model's resolution. The n-th depends on seed + n alone. callback hears of every step.

    Raises ValueError for a model that translates, and NotCalibrated.
    """
    check(translator, count)
    pictures: list[Image.Image] = []
    for first in range(0, count, _AT_ONCE):
        seeds = range(seed + first, seed + min(count, first + _AT_ONCE))
        pictures += _pictures(translator, noise_of(list(seeds)), callback)
    return pictures


def interpolate(
    translator: Translator, first: int, last: int, count: int = 8, callback: Callable[[], None] = lambda: None
) -> list[Image.Image]:
    """`count` pictures on the way from the one of seed `first` to the one of seed `last`, both included.

    All noise of the two chains is mixed, as on a circle, so that each mixture is as loud as they are. Raises as
    `generate` does.
    """
    check(translator, count)
    if count < 2:
        raise ValueError("a way between two pictures takes at least 2, both ends included")
    pictures: list[Image.Image] = []
    angles = np.linspace(0, math.pi / 2, count)
    for start in range(0, count, _AT_ONCE):
        pictures += _pictures(
            translator, noise_between(first, last, angles[start : start + _AT_ONCE].tolist()), callback
        )
    return pictures


def save_sheet(
    translator: Translator, pictures: Sequence[Image.Image], path: Path, *, seed: int, towards: int | None, scale: int
) -> Path:
    """Save pictures as one sheet, with the seeds in its provenance. Raises ImageError."""
    columns = None if towards is None else min(len(pictures), 8)
    seeds = {"seed": seed, "count": len(pictures), **({} if towards is None else {"towards": towards})}
    make_folder(path)
    return save_image(sheet(pictures, columns, scale), path, provenance=translator.task_provenance("generate", **seeds))


def check(translator: Translator, count: int = 1) -> int:
    """Look at model and settings before any work. Returns the number of steps; raises ValueError, NotCalibrated."""
    require_denoiser(translator.config, translator.name, "make pictures from noise")
    if not 1 <= count <= MAX_IMAGES:
        raise ValueError(f"between 1 and {MAX_IMAGES} pictures can be made at a time, not {count}")
    schedule = translator.config.schedule
    denoise_scale(translator.config, schedule.finest, SIGMAS[0], translator.name)
    return -(-count // _AT_ONCE) * (STEPS[0] + STEPS[1] * (len(schedule.levels) - 1))


def noise_of(seeds: Sequence[int]) -> Noise:
    """A stream of noise for each seed."""
    generators = [torch.Generator().manual_seed(seed % 2**63) for seed in seeds]
    return lambda shape: torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def noise_between(first: int, last: int, angles: Sequence[float]) -> Noise:
    """The streams of two seeds, mixed at each angle from 0 (the first) to pi / 2 (the last)."""
    ends = noise_of([first, last])
    cosines, sines = (torch.tensor([f(angle) for angle in angles]).view(-1, 1, 1, 1) for f in (math.cos, math.sin))

    def mixed(shape: tuple[int, ...]) -> Tensor:
        one, other = ends(shape)
        return cosines * one + sines * other

    return mixed


def sample(
    energy: MultiscaleEnergy,
    schedule: Schedule,
    walks: dict[int, Callable[[float], float]],
    noise: Noise,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """The chain: yields the pictures (B, 3, R, R) in [-1, 1] after each step, R growing from level to level.

    walks: resolution -> the length of the way down from noise of a strength; see calibration.walk.
    """
    x = torch.zeros(())
    for number, level in enumerate(schedule.levels):
        shape = (3, level.resolution, level.resolution)
        left = torch.tensor(START[min(number, 1)])
        fresh = 2 * left * noise(shape)
        x = ((enlarged(x).cpu() if number else x) + fresh).clamp(-1, 1).to(device)
        left = left.expand(len(x))
        steps = STEPS[min(number, 1)]
        for step in range(steps):
            length = torch.tensor([walks[level.resolution](sigma) for sigma in left.flatten().tolist()], device=device)
            rest = length.view(-1, 1, 1, 1) * energy_and_grad(energy.at(level.resolution), x)[1]
            left = rest.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() / 2
            if step == steps - 1:  # the last step goes all the way down, and adds no noise
                x = (x - rest).clamp(-1, 1)
            else:
                again = math.sqrt((1 - NOISE_REMOVAL * STEP_FRACTION) ** 2 - (1 - STEP_FRACTION) ** 2) * 2 * left
                x = (x - STEP_FRACTION * rest + again * noise(shape).to(device)).clamp(-1, 1)
            yield x


def sheet(pictures: Sequence[Image.Image], columns: int | None = None, scale: int = 1) -> Image.Image:
    """Pictures of one size in rows, as nearly a square as they go; each enlarged by a whole number."""
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    width, height = (side * scale for side in pictures[0].size)
    result = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height), "white")
    for number, picture in enumerate(pictures):
        larger = picture if scale == 1 else picture.resize((width, height), Image.Resampling.LANCZOS)
        result.paste(larger, (number % columns * width, number // columns * height))
    return result


def _pictures(translator: Translator, noise: Noise, callback: Callable[[], None]) -> list[Image.Image]:
    config = translator.config

    def length(resolution: int) -> Callable[[float], float]:
        return lambda sigma: denoise_scale(config, resolution, sigma, translator.name)

    walks = {level.resolution: length(level.resolution) for level in config.schedule.levels}
    last = torch.empty(0)
    for last in sample(translator.energy, config.schedule, walks, noise, translator.device):  # noqa: B007
        callback()
    pixels = ((last + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]
