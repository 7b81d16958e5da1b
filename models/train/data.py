"""Training pictures: one uint8 array per domain, in memory or memory-mapped, drawn as augmented batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

from models.thinning import thinned

MIN_CROP_AREA = 0.8  # smallest share of the picture's area that a random crop keeps


class ImageArray:
    """Pictures of one domain at training size: uint8 (N, 3, S, S) in 0..255.

    Randomness comes from torch's global generator, whose state a training run saves and restores.
    """

    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.dtype != np.uint8 or not len(pictures):
            raise ValueError(f"pictures must be uint8 (N, 3, S, S), not {pictures.dtype} {pictures.shape}")
        self._pictures = pictures

    @cached_property
    def digest(self) -> str:
        """Names these very pictures, whatever their files are called."""
        return hashlib.sha256(np.ascontiguousarray(self._pictures).data).hexdigest()[:12]

    def __len__(self) -> int:
        return len(self._pictures)

    def batch(self, count: int, size: int) -> Tensor:
        """`count` pictures drawn with replacement, randomly cropped and flipped: (count, 3, size, size) in [-1, 1]."""
        crop = v2.RandomResizedCrop(size, scale=(MIN_CROP_AREA, 1.0), ratio=(0.9, 1 / 0.9), antialias=True)
        flip = v2.RandomHorizontalFlip()
        drawn = torch.randint(len(self), (count,)).tolist()
        pictures = [flip(crop(torch.from_numpy(np.array(self._pictures[i])))) for i in drawn]
        return torch.stack(pictures).float() / 127.5 - 1

    def first(self, count: int, size: int) -> Tensor:
        """The first `count` pictures, whole and never flipped: (count, 3, size, size) in [-1, 1]."""
        return next(ImageArray(self._pictures[:count]).whole(size, count))

    def thinned(self, count: int) -> ImageArray:
        """At most `count` pictures, at even distances."""
        return ImageArray(thinned(self._pictures, count))

    def whole(self, size: int, count: int = 64) -> Iterator[Tensor]:
        """All pictures, whole, in batches of `count`: (count, 3, size, size) in [-1, 1]."""
        for start in range(0, len(self), count):
            pictures = torch.from_numpy(np.array(self._pictures[start : start + count]))
            yield v2.functional.resize(pictures, [size, size], antialias=True).float() / 127.5 - 1
