"""The frames of a chain: each step as a picture, and all of them as a strip or an animation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.checkpoint import write_whole
from models.langevin import enlarge, focused
from models.shape import warped
from translate.bending import bend
from translate.detail import carry

GIF_FRAMES = 32  # at most, at even distances: more of them weigh more than they show
GIF_SIDE = 320  # longest side of an animation's pictures: a GIF of forty larger ones weighs tens of megabytes
LINGER = 8  # how many frame times the last picture of an animation stays


@dataclass(frozen=True, eq=False)
class Frame:
    """One step of a chain.

    stage: index of the resolution, coarse first. step: counts from 1 on each stage. energy: of where the chain stands
    after this step, as the stage's energy sees it; energies of different stages are different functions and do not
    compare. source, reached: the picture before the chain and where it stands at the stage's resolution, (1, 3, h, w)
    floats on the [-1, 1] scale. preview: the source as uint8 (H, W, 3), for showing. focus: the ladder's. evidence: how
    much each pixel of the source counts for it, (1, 1, h, w), where there is a locator. flow: what bends the source so
    far, (1, 2, h, w), see models/shape.py; None for chains that do not bend.
    """

    stage: int
    step: int
    energy: float
    source: Tensor = field(repr=False)
    reached: Tensor = field(repr=False)
    preview: NDArray[np.uint8] = field(repr=False)
    focus: float = 0.0
    evidence: Tensor | None = field(default=None, repr=False)
    flow: Tensor | None = field(default=None, repr=False)

    @property
    def bent(self) -> Tensor:
        """The source, bent by the flow, (1, 3, h, w): what the change of colours is counted from."""
        return self.source if self.flow is None else warped(self.source, self.flow)

    @cached_property
    def state(self) -> Tensor:
        """The picture after this step, (1, 3, h, w): what was reached, with faint changes dropped; see focused."""
        counts = self.evidence
        if counts is not None and self.flow is not None:
            counts = warped(counts, self.flow)
        return focused(self.bent, self.reached, self.focus, counts)

    @cached_property
    def picture(self) -> Image.Image:
        """The preview with the change so far."""
        return self.onto(self.preview)

    def onto(self, picture: NDArray[np.uint8]) -> Image.Image:
        """Give a copy of the source, of any size, uint8 (H, W, 3), the change so far."""
        return Image.fromarray(self.carried(picture))

    def carried(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As `onto`, as an array: shapes first, then colours."""
        return carry(picture if self.flow is None else bend(picture, self.flow), self.bent, self.state)


def saliency(frames: Sequence[Frame]) -> NDArray[np.float32]:
    """How much each pixel was moved, summed over the steps and averaged over colours: (h, w), on the [-1, 1] scale.

    The generative saliency of CF-EBM (Zhao, Xie, Li, ICLR 2021), at the resolution of the last stage; what coarse
    stages moved is enlarged and added. Where a chain bends, what moves is the picture at that place: a pixel that turns
    from ground to ear counts as much as one that is painted so. (1, 1) without frames.
    """
    if not frames:
        return np.zeros((1, 1), np.float32)
    total = change = torch.zeros_like(frames[0].state)
    for frame in frames:
        while frame.state.shape != change.shape:  # a stage may have had no steps
            total, change = enlarge(total), enlarge(change)
        total = total + (frame.state - frame.source - change).abs()
        change = frame.state - frame.source
    return total[0].mean(dim=0).numpy()


def make_strip(source: Image.Image, frames: Sequence[Frame], count: int = 8) -> Image.Image:
    """The source and `count` - 1 frames at even distances, the last one included, side by side."""
    pictures = [Image.fromarray(frames[0].preview)] if frames else [source]
    if frames:
        places = np.linspace(0, len(frames), count)[1:].round().astype(int) - 1
        pictures += [frames[place].picture for place in sorted(set(places.tolist()) - {-1})]
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width * len(pictures), height))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number * width, 0))
    return sheet


def save_gif(source: Image.Image, frames: Sequence[Frame], path: Path, milliseconds: int = 80) -> None:
    """Write an animation from the source to the last frame, longest side at most 320 px. Raises OSError."""
    places = sorted(set(np.linspace(0, len(frames) - 1, GIF_FRAMES).round().astype(int).tolist())) if frames else []
    pictures = [Image.fromarray(frames[0].preview) if frames else source.copy(), *(frames[n].picture for n in places)]
    small = []
    for picture in pictures:
        picture = picture.copy()
        picture.thumbnail((GIF_SIDE, GIF_SIDE))
        small.append(picture.quantize(256))
    buffer = io.BytesIO()
    times = [milliseconds * LINGER] + [milliseconds] * (len(small) - 2) + [milliseconds * LINGER]
    small[0].save(
        buffer, "GIF", save_all=True, append_images=small[1:], duration=times[: len(small)], loop=0, optimize=False
    )
    write_whole(path, buffer.getvalue())
