"""Fill holes: the chain of a model that makes pictures, with what is known put back after every step.

A hole begins as what the model's density expects in it, given the rest, shifted to the colours around it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from models.density import SIDE
from models.sampling import follow, sample, shared_noise
from translate.images.read import open_image
from translate.images.types import ImageError, LoadedImage, Source
from translate.tasks.kinds import require_generator
from translate.tasks.pixels import Restored, as_bytes, as_tensor
from translate.tasks.tiled_grad import on_any_size

if TYPE_CHECKING:
    from translate.pipeline import Translator

CONTEXT = 1.0  # how much of its surroundings a hole is filled from, in sizes of the hole, on each side
SQUARE = 1.5  # times as long as wide, a part is near enough to the squares that a density knows

Box = tuple[int, int, int, int]


def inpaint(translator: Translator, picture: Source, mask: Source | Box, seed: int = 0) -> Restored:
    """Fill a hole. Pixels outside it are returned as they are, bit for bit.

    mask: a black and white picture of the same size, white where the hole is, or a box (left, top, right, bottom) in
    pixels, right and bottom excluded. seed: of the chain. Raises ImageError, ValueError.
    """
    begin = time.perf_counter()
    require_generator(translator.config, translator.name, "fill holes")
    photo = open_image(picture)
    hole = _box(photo, mask) if isinstance(mask, tuple) else _mask(photo, open_image(mask))
    pixels = np.asarray(photo.rgb)
    left, top, right, bottom = _surroundings(hole)
    part, missing = pixels[top:bottom, left:right], hole[top:bottom, left:right]
    filled = pixels.copy()
    filled[top:bottom, left:right][missing] = _fill(translator, part, missing, seed)[missing]
    provenance = translator.task_provenance("inpaint", seed=seed)
    return Restored(Image.fromarray(filled), provenance, time.perf_counter() - begin, photo)


def _fill(translator: Translator, part: NDArray[np.uint8], missing: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    """The part of a picture with its hole filled, coarse to fine; the rest of it comes back nearly as it was."""
    schedule = translator.config.schedule
    height, width = missing.shape
    coarsest = schedule.coarsest / min(height, width)
    rows, columns = (max(1, round(side * coarsest)) for side in (height, width))
    expected = _expected(translator, part, missing)
    known: dict[int, Tensor] = {}
    holes: dict[int, Tensor] = {}
    starts: list[Tensor] = []
    for level in schedule.levels:
        size = (rows * level.resolution // schedule.coarsest, columns * level.resolution // schedule.coarsest)
        there, hole = _scaled(part, missing, size)
        if expected is None:
            start = torch.where(hole, _around(there, hole), there)
        else:
            guess = F.interpolate(expected, size, mode="bicubic", align_corners=False)
            start = torch.where(hole, guess + _around(there - guess, hole), there).clamp(-1, 1)
        known[level.resolution], holes[level.resolution] = there.to(translator.device), hole.to(translator.device)
        starts.append(start.to(translator.device))

    def put_back(x: Tensor, resolution: int) -> Tensor:
        return torch.where(holes[resolution], x, known[resolution])

    generator = torch.Generator().manual_seed(seed)
    chain = sample(
        partial(on_any_size, translator.energy), schedule, starts[0], starts,
        hooks=(put_back,), noise=shared_noise(generator), generator=generator,
    )  # fmt: skip
    whole = Image.fromarray(as_bytes(follow(chain, starts[0])))
    return np.asarray(whole.resize((width, height), Image.Resampling.BICUBIC))


def _expected(translator: Translator, part: NDArray[np.uint8], missing: NDArray[np.bool_]) -> Tensor | None:
    """What the density expects of the whole part, (1, 3, SIDE, SIDE); None where it knows nothing like it."""
    density = translator.model.density
    if density is None or max(missing.shape) > SQUARE * min(missing.shape):
        return None
    known, hole = _scaled(part, missing, (SIDE, SIDE))
    if bool(hole.all()):
        return None
    return density.completed(known[0].to(translator.device), hole[0, 0].to(translator.device)).cpu()[None]


def _scaled(part: NDArray[np.uint8], missing: NDArray[np.bool_], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Picture and hole at another size (height, width): (1, 3, h, w) and (1, 1, h, w), whose hole covers every pixel
    that the true one touches."""
    height, width = size
    touched = Image.fromarray(missing.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    small = Image.fromarray(part).resize((width, height), Image.Resampling.BOX)
    return as_tensor(np.asarray(small)), torch.from_numpy(np.asarray(touched) > 0)[None, None]


def _around(known: Tensor, hole: Tensor) -> Tensor:
    """The hole in the mean colours of what is known nearby: means over ever larger windows, the smallest that reach."""
    filled, missing = known * ~hole, hole.clone()
    radius = 1
    while bool(missing.any()) and radius < 2 * max(known.shape[-2:]):
        size = 2 * radius + 1
        there = F.avg_pool2d((~hole).float(), size, 1, radius)
        near = F.avg_pool2d(known * ~hole, size, 1, radius) / there.clamp(min=1e-9)
        reached = missing & (there > 1e-6)
        filled = torch.where(reached, near, filled)
        missing = missing & ~reached
        radius *= 2
    return filled


def _surroundings(hole: NDArray[np.bool_]) -> Box:
    """The hole's bounding box, with its surroundings: (left, top, right, bottom)."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    reach = max(16, round(CONTEXT * max(bottom - top, right - left)))
    height, width = hole.shape
    return max(0, left - reach), max(0, top - reach), min(width, right + reach), min(height, bottom + reach)


def _box(photo: LoadedImage, box: Box) -> NDArray[np.bool_]:
    left, top, right, bottom = box
    width, height = photo.rgb.size
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(f"the box {left},{top},{right},{bottom} does not lie in the picture of {width} x {height} px")
    hole = np.zeros((height, width), bool)
    hole[top:bottom, left:right] = True
    return _checked(hole, "the box")


def _mask(photo: LoadedImage, mask: LoadedImage) -> NDArray[np.bool_]:
    if mask.rgb.size != photo.rgb.size:
        sizes = "{} x {} px, the picture {} x {} px".format(*mask.rgb.size, *photo.rgb.size)
        raise ImageError(mask.name, f"the mask has {sizes}; they must be of one size")
    pixels = np.asarray(mask.rgb)
    if int(np.ptp(pixels, axis=2).max()) > 32:
        raise ImageError(mask.name, "a mask is black and white, with white for the hole; this one has colours")
    return _checked(pixels[..., 0] >= 128, f"{mask.name}: the mask")


def _checked(hole: NDArray[np.bool_], what: str) -> NDArray[np.bool_]:
    if not hole.any():
        raise ValueError(f"{what} marks no hole: white is what will be filled")
    if hole.all():
        raise ValueError(f"{what} covers the whole picture: nothing is left to fill it from")
    return hole
