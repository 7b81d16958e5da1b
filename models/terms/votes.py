"""Votes: a learned energy on the trunk's features. Every place of every tap votes; the energy is the votes' mean.

An energy on frozen features is in the line of FRAME models on convolutional filters (Lu, Zhu, Wu, AAAI 2016); heads on
a pretrained network made adversarial training tens of times faster (Sauer et al., "Projected GANs", NeurIPS 2021).
A small network on the pixels themselves votes too: it sees the fine noise that the trunk does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.terms.pooled_conv import PooledConv
from models.terms.trunk import LAST, SHAPES

MEASURED = ("mean", "deviation")  # what the names of measured buffers begin with
PIXEL_REDUCTION = 8  # pixels a place of the pixel network's map is wide


@dataclass(frozen=True)
class VotesConfig:
    """Shape of the heads: one set per resolution. taps: blocks of the trunk, ascending. width: of the heads.

    seen_at: side in pixels that pictures of coarser levels are enlarged to for the trunk, which knows things by their
    size; 0 for not at all.
    """

    resolutions: tuple[int, ...] = (64, 128)
    taps: tuple[int, ...] = (2, 4, 10, 15)
    width: int = 64
    pixel_width: int = 32
    seen_at: int = 0
    kind: Literal["votes"] = "votes"

    def __post_init__(self) -> None:
        if not self.resolutions or any(not 32 <= r <= 512 for r in self.resolutions):
            raise ValueError("votes need resolutions within 32..512 px")
        if any(fine != 2 * coarse for coarse, fine in zip(self.resolutions, self.resolutions[1:], strict=False)):
            raise ValueError("each resolution must be twice the one before")
        if not self.taps or list(self.taps) != sorted(set(self.taps)) or not 0 <= self.taps[0] <= self.taps[-1] <= LAST:
            raise ValueError(f"taps must be blocks of the trunk, ascending within 0..{LAST}")
        if not (1 <= self.width <= 512 and 4 <= self.pixel_width <= 256):
            raise ValueError("the widths of votes must lie within 1..512, those of the pixel network within 4..256")
        if not 0 <= self.seen_at <= 512:
            raise ValueError("the trunk can see pictures at up to 512 px")

    def magnification(self, resolution: int) -> int:
        """How many times larger the trunk sees the pictures of one level."""
        return max(1, self.seen_at // resolution)

    def up_to(self, resolution: int) -> VotesConfig:
        """Without what is finer than `resolution` px."""
        return replace(self, resolutions=tuple(r for r in self.resolutions if r <= resolution))


class Votes(nn.Module):
    """The term of one resolution. Standardised features and pixels in, energies out.

    mean, deviation: per channel and tap, measured on training pictures, see `measure`.
    """

    def __init__(self, config: VotesConfig, resolution: int) -> None:
        super().__init__()
        self.taps, self.resolution = config.taps, resolution
        self.side = resolution * config.magnification(resolution)  # of square pictures, as the trunk sees them
        channels = [SHAPES[tap].outputs for tap in config.taps]
        self.heads = nn.ModuleList(_head(c, config.width) for c in channels)
        self.pixels = _pixel_network(config.pixel_width)
        for number, count in enumerate(channels):
            self.register_buffer(f"mean{number}", torch.zeros(count))
            self.register_buffer(f"deviation{number}", torch.ones(count))

    def forward(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Pictures (B, 3, H, W) and the trunk's features of them -> energies (B,).

        Votes are summed and divided by the places of a SQUARE picture of the level's resolution, so that the gradient
        of a pixel does not depend on how large a picture is.
        """
        return torch.stack([votes.sum((1, 2)) / places for votes, places in self._votes(x, features)]).sum(0)

    def map(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        """The votes of all heads, enlarged to the finest tap's places and summed: (B, h, w)."""
        votes = [v for v, _ in self._votes(x, features)]
        size = max((v.shape[-2:] for v in votes), key=lambda s: s[0])
        return torch.stack([F.interpolate(v[:, None], size, mode="bilinear")[:, 0] for v in votes]).sum(0)

    def _votes(self, x: Tensor, features: Sequence[Tensor]) -> list[tuple[Tensor, float]]:
        """The votes of each head, (B, h, w), and how many places a square picture has there."""
        found = []
        for number, (tap, head, h) in enumerate(zip(self.taps, self.heads, features, strict=True)):
            mean, deviation = self.get_buffer(f"mean{number}"), self.get_buffer(f"deviation{number}")
            standardised = (h - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)
            found.append((head(standardised)[:, 0], (self.side / SHAPES[tap].reduction) ** 2))
        found.append((self.pixels(x)[:, 0], (self.resolution / PIXEL_REDUCTION) ** 2))
        return found

    @torch.no_grad()
    def measure(self, batches: Sequence[Sequence[Tensor]]) -> None:
        """Set mean and deviation from features of training pictures: a list of batches, each a list of taps."""
        for number in range(len(self.taps)):
            h = torch.cat([batch[number].transpose(0, 1).flatten(1) for batch in batches], 1)
            self.get_buffer(f"mean{number}").copy_(h.mean(1))
            self.get_buffer(f"deviation{number}").copy_(h.std(1) + 1e-3)


def _head(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 1), nn.SiLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.SiLU(),
        nn.Conv2d(width, 1, 1),
    )  # fmt: skip


def _pixel_network(width: int) -> nn.Sequential:
    def layer(inputs: int, outputs: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 3, padding=1)

    # Identities stand where the pooling once stood: the names of weights in files count the layers.
    return nn.Sequential(
        layer(3, width), nn.SiLU(),
        PooledConv(width, width), nn.Identity(), nn.SiLU(),
        PooledConv(width, 2 * width), nn.Identity(), nn.SiLU(),
        PooledConv(2 * width, 2 * width), nn.Identity(), nn.SiLU(),
        layer(2 * width, 2 * width), nn.SiLU(),
        nn.Conv2d(2 * width, 1, 1),
    )  # fmt: skip
