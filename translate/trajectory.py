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

from models.atomic import write_whole
from models.config import Upsampling
from models.energy import enlarged
from models.gate import gate_change, keep_colors
from translate.upsample import guided_upsample
from translate.window import Window

GIF_FRAMES = 32  # at most, at even distances: more of them weigh more than they show
GIF_SIDE = 320  # longest side of an animation's pictures: a GIF of forty larger ones weighs tens of megabytes
END_HOLD = 8  # how many frame times the last picture of an animation stays


@dataclass(frozen=True, eq=False)
class Frame:
    """One step of a chain.

    level: index of the resolution, coarse first. step: counts from 1 on each level. energy: of where the chain stands
    after this step, as the level's energy sees it; energies of different levels are different functions and do not
    compare. source, reached: the picture before the chain and where it stands at the level's resolution, (1, 3, h, w)
    floats on the [-1, 1] scale. preview: the source as uint8 (H, W, 3), for showing. gate, keep_color,
    likeness: the schedule's. evidence: how much each pixel of the source counts for the gate, (1, 1, h, w), where there
    is a probe. upsampling: how the change is carried to the photo. window: the part of the photo that source and
    reached show; None for all of it.
    """

    level: int
    step: int
    energy: float
    source: Tensor = field(repr=False)
    reached: Tensor = field(repr=False)
    preview: NDArray[np.uint8] = field(repr=False)
    gate: float = 0.0
    keep_color: float = 0.0
    likeness: float = 0.0
    evidence: Tensor | None = field(default=None, repr=False)
    upsampling: Upsampling = field(default_factory=Upsampling, repr=False)
    window: Window | None = None

    @cached_property
    def state(self) -> Tensor:
        """The picture after this step, (1, 3, h, w): what was reached, with faint changes dropped; see gate_change."""
        state = gate_change(self.source, self.reached, self.gate, self.evidence)
        return keep_colors(self.source, state, self.keep_color)

    @cached_property
    def picture(self) -> Image.Image:
        """The preview with the change so far."""
        return Image.fromarray(self.apply_to(self.preview))

    def apply_to(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give a copy of the source, of any size, uint8 (H, W, 3), the change so far."""
        part = picture if self.window is None else self.window.cut(picture)
        changed = guided_upsample(part, self.source, self.state, self.upsampling, self.likeness)
        return changed if self.window is None else self.window.put(picture, changed)


def saliency(frames: Sequence[Frame]) -> NDArray[np.float32]:
    """How much each pixel was moved, summed over the steps and averaged over colours: (h, w), on the [-1, 1] scale.

    The generative saliency of CF-EBM (Zhao, Xie, Li, ICLR 2021), of the whole photo at the resolution of the last
    level; what coarse levels moved is enlarged and added. (1, 1) without frames.
    """
    if not frames:
        return np.zeros((1, 1), np.float32)
    total = change = torch.zeros_like(frames[0].state)
    for frame in frames:
        while frame.state.shape != change.shape:  # a level may have had no steps
            total, change = enlarged(total), enlarged(change)
        total = total + (frame.state - frame.source - change).abs()
        change = frame.state - frame.source
    moved, window = total[0].mean(dim=0).numpy(), frames[0].window
    return moved if window is None else window.spread(moved)


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
    times = [milliseconds * END_HOLD] + [milliseconds] * (len(small) - 2) + [milliseconds * END_HOLD]
    small[0].save(
        buffer, "GIF", save_all=True, append_images=small[1:], duration=times[: len(small)], loop=0, optimize=False
    )
    write_whole(path, buffer.getvalue())
