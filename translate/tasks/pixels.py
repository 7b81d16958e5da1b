"""What restoring tasks have in common: their result, and pictures as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from translate.images.types import LoadedImage


@dataclass(frozen=True, eq=False)
class Restored:
    """What a restoration gives.

    picture: RGB, the size of the source. provenance: how it was made, for its metadata. seconds: time it took. photo:
    the source.
    """

    picture: Image.Image
    provenance: dict[str, object]
    seconds: float
    photo: LoadedImage


def as_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32)) / 127.5 - 1


def as_bytes(x: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) in [-1, 1] -> (H, W, 3) uint8."""
    pixels: NDArray[np.uint8] = ((x[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return pixels
