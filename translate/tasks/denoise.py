"""Denoise: with an energy that learned the way back from noise, at the picture's own size, one step down its slope."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from translate.images.read import open_image
from translate.images.types import Source
from translate.tasks.calibration import denoise_scale
from translate.tasks.kinds import require_denoiser
from translate.tasks.pixels import Restored, as_bytes, as_tensor
from translate.tasks.tiled_grad import tiled_grad

if TYPE_CHECKING:
    from translate.pipeline import Translator

MAX_SIGMA = 0.5  # noise beyond it leaves nothing to restore
MIN_SIGMA = 0.003  # less than one level of 255: nothing to remove


def denoise(translator: Translator, picture: Source, sigma: float | None = None) -> Restored:
    """Remove Gaussian noise of standard deviation `sigma`, as a share of the full range (0.1: 26 levels of 255).

    sigma None: by guess, see `guess_noise`. Raises ImageError, NotCalibrated, ValueError.
    """
    begin = time.perf_counter()
    check(translator, sigma)
    photo = open_image(picture)
    pixels = np.asarray(photo.rgb)
    level = guess_noise(pixels) if sigma is None else sigma
    restored = photo.rgb.copy()
    if level > MIN_SIGMA:
        restored = Image.fromarray(as_bytes(_down(translator, as_tensor(pixels).to(translator.device), level)))
    provenance = translator.task_provenance("denoise", sigma=round(level, 4), guessed=sigma is None)
    return Restored(restored, provenance, time.perf_counter() - begin, photo)


def check(translator: Translator, sigma: float | None = None, name: str | None = None) -> None:
    """Look at model and setting before any work. name: the model's, for sentences. Raises NotCalibrated, ValueError."""
    if sigma is not None and not 0 < sigma <= MAX_SIGMA:
        raise ValueError(
            f"sigma is a share of the full range, above 0, up to {MAX_SIGMA:g} (0.1: 26 levels of 255), not {sigma:g}"
        )
    require_denoiser(translator.config, name or translator.name, "remove noise")
    denoise_scale(translator.config, translator.config.schedule.finest, 0.1, name or translator.name)


def guess_noise(pixels: NDArray[np.uint8]) -> float:
    """The standard deviation of a picture's noise, (H, W, 3) uint8, as a share of the full range.

    From the finest diagonal details, which hold little else, by their median (Donoho & Johnstone 1994), in the colour
    where it is smallest but one. 0 for pictures of less than 2 x 2 px.
    """
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    if not height or not width:
        return 0.0
    x = pixels[:height, :width].astype(np.float32) / 255
    diagonal = (x[::2, ::2] - x[::2, 1::2] - x[1::2, ::2] + x[1::2, 1::2]) / 2
    # Where a picture is pure black or white, noise was cut off and tells nothing.
    cut = (x == 0) | (x == 1)
    whole = ~(cut[::2, ::2] | cut[::2, 1::2] | cut[1::2, ::2] | cut[1::2, 1::2])
    levels = [float(np.median(np.abs(diagonal[..., c][whole[..., c]]))) for c in range(3) if whole[..., c].sum() > 16]
    return min(MAX_SIGMA, float(np.median(levels)) / 0.6745) if levels else 0.0


def _down(translator: Translator, y: Tensor, level: float) -> Tensor:
    """One step from (1, 3, H, W) with noise of strength `level` down to where it came from.

    What is coarser than the model's pictures is taken from the same step on a copy of half the size, in which the noise
    is half as strong.
    """
    finest = translator.config.schedule.finest
    length = denoise_scale(translator.config, finest, level, translator.name)
    restored = (y - length * tiled_grad(translator.energy, y, finest)).clamp(-1, 1)
    if min(y.shape[-2:]) < 2 * finest or level < 2 * MIN_SIGMA:
        return restored
    size = y.shape[-2:]
    half = F.avg_pool2d(F.pad(y, (0, size[1] % 2, 0, size[0] % 2), mode="replicate"), 2)
    ours = F.interpolate(restored, size=half.shape[-2:], mode="area")
    better = _down(translator, half, level / 2) - ours
    return (restored + F.interpolate(better, size=size, mode="bilinear")).clamp(-1, 1)
