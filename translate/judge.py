"""Does a photo look like what a direction starts from? Asked of the energies themselves, without a further network.

The one number of the reverse direction does not know: low on its own domain, it was only ever taught against pictures
on their way there, so that cats and landscapes lie well among the apples. The layer under that number does know: a
linear reading of it, in both directions and at every stage, fitted on training pictures by benchmarks/judge.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn

from models.checkpoint import digest, load_model
from models.energy import Energy
from models.langevin import pooled
from models.zoo import locate, shipped

READINGS = Path(__file__).with_name("judge.json")
SIDE = 128  # pixels of the square that is read; what a finer stage would see beyond them is texture


@dataclass(frozen=True)
class Reading:
    """What was fitted for one direction.

    digests: of the weights that are read, by name, first the direction's own and then the reverse one's, if there is
    one. weights: one for each feature, then a constant. threshold: most of the training pictures read below it.
    """

    digests: dict[str, str]
    weights: tuple[float, ...]
    threshold: float


@cache
def readings() -> dict[str, Reading]:
    """All readings, by direction."""
    if not READINGS.is_file():
        return {}
    stored = json.loads(READINGS.read_text(encoding="utf-8"))
    return {name: Reading(row["digests"], tuple(row["weights"]), row["threshold"]) for name, row in stored.items()}


class Judge:
    """Tells whether photos look like the source domain of a direction."""

    def __init__(self, energies: Sequence[Energy], reading: Reading) -> None:
        self._energies, self._threshold = energies, reading.threshold
        *weights, self._constant = reading.weights
        self._weights = np.array(weights)

    @classmethod
    def load(cls, name: str, own_digest: str) -> Judge | None:
        """The judge of the direction with these weights; None unless a reading was fitted to the very weights at hand.

        own_digest: of the direction's weights, as models.checkpoint.digest gives it. Raises BadModel.
        """
        reading = readings().get(name)
        if reading is None or not set(reading.digests) <= set(shipped()):
            return None
        at_hand = {other: digest(locate(other)) for other in reading.digests}
        if reading.digests != {**at_hand, name: own_digest}:
            return None
        return cls([load_model(locate(other))[0] for other in reading.digests], reading)

    def accepts(self, rgb: Image.Image) -> bool:
        """Whether a photo (RGB, any size) looks like the source domain."""
        square = np.asarray(ImageOps.fit(rgb, (SIDE, SIDE), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
        reading = features(self._energies, square[None])[0] @ self._weights + self._constant
        return bool(reading < self._threshold)


@torch.no_grad()
def features(energies: Sequence[Energy], squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the last layer of each energy sees, at each of its resolutions up to SIDE, averaged over the picture.

    squares: (N, 3, SIDE, SIDE). Returns (N, F).
    """
    x = torch.from_numpy(np.array(squares)).float() / 127.5 - 1
    parts: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        parts.append(inputs[0].mean(dim=(2, 3)))

    for energy in energies:
        hook = energy.project.register_forward_pre_hook(keep)
        for resolution in energy.config.resolutions:
            if resolution <= SIDE:
                energy(pooled(x, SIDE // resolution), resolution)
        hook.remove()
    return torch.cat(parts, dim=1).numpy()
