"""The floor that any model must beat: only the colours moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Recolouring:
    """Each picture's colours moved to those of a whole set.

    Reinhard et al., "Color Transfer between Images" (2001), with sRGB channels for their l-alpha-beta: every channel's
    mean and standard deviation over the picture become those over all pixels of the set.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def towards(cls, pictures: Iterable[Image.Image]) -> Recolouring:
        """Raises ValueError without a picture."""
        count, total, squares = 0, np.zeros(3), np.zeros(3)
        for picture in pictures:
            pixels = np.asarray(picture.convert("RGB"), np.float64).reshape(-1, 3)
            count, total, squares = count + len(pixels), total + pixels.sum(0), squares + (pixels**2).sum(0)
        if not count:
            raise ValueError("recolouring needs at least one picture of the target")
        mean = total / count
        return cls(mean, np.sqrt(np.maximum(squares / count - mean**2, 0)))

    def __call__(self, picture: Image.Image) -> Image.Image:
        pixels = np.asarray(picture.convert("RGB"), np.float64)
        spread = np.maximum(pixels.std((0, 1)), 1.0)  # a flat channel would turn its noise into stripes
        moved = (pixels - pixels.mean((0, 1))) / spread * self.std + self.mean
        return Image.fromarray(moved.round().clip(0, 255).astype(np.uint8))
