"""Pictures of nothing: coarse-to-fine chains that start at samples of a density, or at noise for energies from scratch.

All that is random in a picture comes from its seed: where in the density it starts, and the noise of its chain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from models.density import MAX_VARIETY, Density, Latent
from models.sampling import ChainState, follow, pyramid, sample
from translate.images.write import make_folder, save_image
from translate.tasks.kinds import require_generator

if TYPE_CHECKING:
    from translate.pipeline import Translator

VARIETY = 0.5  # of starts, see models.density.Density.pictures; less than in training, where chains meet odder ones
MAX_IMAGES = 256  # pictures a call
SHOWN_AT = 128  # pixels: pictures of fewer are enlarged on a sheet
_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Streams:
    """What is random in a batch of pictures, one stream for each of `seeds`.

    mix: (B, 2), with two seeds: each picture's own mixture of their streams, as on a circle, for it to be as loud as
    they are; None: a picture for each seed.
    """

    generators: Sequence[torch.Generator]
    mix: Tensor | None = None

    @classmethod
    def of(cls, seeds: Sequence[int]) -> Streams:
        """A picture for each seed."""
        return cls([torch.Generator().manual_seed(seed % 2**63) for seed in seeds])

    @classmethod
    def between(cls, first: int, last: int, ways: Tensor) -> Streams:
        """A picture for each of `ways` (B,), from 0, the one of seed `first`, to 1, that of seed `last`."""
        angles = ways * math.pi / 2
        return cls(cls.of([first, last]).generators, torch.stack([angles.cos(), angles.sin()], 1))

    def noise(self, x: Tensor) -> Tensor:
        """Standard normal noise for pictures (B, ...), the same on every device."""
        drawn = torch.stack([torch.randn(x.shape[1:], generator=generator) for generator in self.generators])
        return self._mixed(drawn).to(x)

    def latent(self, density: Density) -> Latent:
        """Where in the density pictures start; centers are mixed along a straight line."""
        drawn = density.draw(self.generators)
        if self.mix is None:
            return drawn
        straight = torch.atan2(self.mix[:, 1], self.mix[:, 0]) * 2 / math.pi
        return Latent(torch.lerp(drawn.center[0], drawn.center[1], straight[:, None]), self._mixed(drawn.offset))

    def __len__(self) -> int:
        return len(self.generators) if self.mix is None else len(self.mix)

    def _mixed(self, drawn: Tensor) -> Tensor:
        return drawn if self.mix is None else torch.einsum("bn,n...->b...", self.mix, drawn)


def generate(
    translator: Translator,
    count: int = 16,
    seed: int = 0,
    variety: float = VARIETY,
    callback: Callable[[], None] = lambda: None,
) -> list[Image.Image]:
    """`count` pictures at the model's resolution. The n-th depends on seed + n alone. callback hears of every step.

    variety: how far starts may leave the middle of their kind, 0 to 1.5; see models.density. Raises ValueError for
    settings out of range, and for a model that makes no pictures.
    """
    check(translator, count, variety)
    parts = [range(seed + first, seed + min(count, first + _AT_ONCE)) for first in range(0, count, _AT_ONCE)]
    return [made for part in parts for made in _pictures(translator, Streams.of(part), variety, callback)]


def interpolate(
    translator: Translator,
    first: int,
    last: int,
    count: int = 8,
    variety: float = VARIETY,
    callback: Callable[[], None] = lambda: None,
) -> list[Image.Image]:
    """`count` pictures on the way from the one of seed `first` to the one of seed `last`, both included.

    Arguments, and what is raised, as for `generate`.
    """
    check(translator, count, variety)
    if count < 2:
        raise ValueError("a way between two pictures takes at least 2, both ends included")
    parts = torch.linspace(0, 1, count).split(_AT_ONCE)
    return [
        made for part in parts for made in _pictures(translator, Streams.between(first, last, part), variety, callback)
    ]


def save_sheet(
    translator: Translator,
    pictures: Sequence[Image.Image],
    path: Path,
    *,
    seed: int,
    towards: int | None = None,
    variety: float = VARIETY,
    scale: int | None = None,
) -> Path:
    """Save pictures as one sheet, with the seeds in its provenance. scale: see `sheet`. Raises ImageError."""
    columns = None if towards is None else min(len(pictures), 8)
    details: dict[str, object] = {"seed": seed, "count": len(pictures)}
    if towards is not None:
        details["towards"] = towards
    if translator.model.density is not None:
        details["variety"] = variety
    make_folder(path)
    return save_image(
        sheet(pictures, columns, scale), path, provenance=translator.task_provenance("generate", **details)
    )


def check(translator: Translator, count: int = 1, variety: float = VARIETY) -> int:
    """Look at model and settings before any work. Returns the number of steps; raises ValueError."""
    require_generator(translator.config, translator.name)
    if not 1 <= count <= MAX_IMAGES:
        raise ValueError(f"between 1 and {MAX_IMAGES} pictures can be made at a time, not {count}")
    if not 0 <= variety <= MAX_VARIETY:
        raise ValueError(f"variety lies between 0 and {MAX_VARIETY:g}, not {variety:g}")
    return -(-count // _AT_ONCE) * translator.config.schedule.steps


def sheet(pictures: Sequence[Image.Image], columns: int | None = None, scale: int | None = None) -> Image.Image:
    """Pictures of one size in rows, as nearly a square as they go; each enlarged `scale` times, a whole number; None
    for what brings them to SHOWN_AT px."""
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    scale = scale or max(1, SHOWN_AT // min(pictures[0].size))
    width, height = (side * scale for side in pictures[0].size)
    result = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height), "white")
    for number, picture in enumerate(pictures):
        larger = picture if scale == 1 else picture.resize((width, height), Image.Resampling.LANCZOS)
        result.paste(larger, (number % columns * width, number // columns * height))
    return result


def _pictures(
    translator: Translator, streams: Streams, variety: float, callback: Callable[[], None]
) -> list[Image.Image]:
    schedule, density = translator.config.schedule, translator.model.density
    sources: list[Tensor] | None = None
    if density is None:
        side = schedule.coarsest
        # Normal numbers made uniform in [-1, 1], so that mixtures of two are uniform as well.
        start = torch.erf(streams.noise(torch.empty(len(streams), 3, side, side)) / math.sqrt(2))
        start = start.to(translator.device)
    else:
        sources = pyramid(density.pictures(streams.latent(density), schedule.finest, variety), schedule)
        start = sources[0]
    # The shifts are the same for every picture: what it becomes must not depend on those beside it.
    shifts = torch.Generator().manual_seed(0)
    chain = sample(translator.energy.at, schedule, start, sources, noise=streams.noise, generator=shifts)

    def told() -> Iterator[ChainState]:
        for state in chain:
            callback()
            yield state

    end = follow(told(), start)
    pixels = ((end + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]
