"""The student: where a chain would end, in one pass in the place of all its steps. Finished chains teach it.

Knowledge distillation of a sampler (Hinton, Vinyals, Dean, 2015; Luhman & Luhman: "Knowledge distillation in iterative
generative models", 2021), with the frozen trunk as the encoder of a U-Net (Ronneberger et al., MICCAI 2015). Ends of
chains differ by their noise, and a student learns what they have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import ModelConfig
from models.energy import enlarged
from models.terms.textured import TexturedConfig
from models.terms.trunk import SHAPES, OnTrunk, Trunk

TAPS = (0, 2, 4, 10, 15)
MAGNIFICATION = 2  # of pictures for the trunk: its first tap then lies on the pixels
WIDTHS = (32, 48, 64, 96, 128)  # of the decoder at each tap


def level_of(config: ModelConfig) -> int:
    """The resolution in pixels that the student of a model works at: that of its finest level. Things leave their
    texture out, which is fine noise, and not to be foreseen."""
    energy = config.energy
    return energy.things.resolutions[-1] if isinstance(energy, TexturedConfig) else config.schedule.finest


class Student(OnTrunk):
    """Pictures (B, 3, H, W) in [-1, 1] at `level_of` -> where chains from them end, of the same shape.

    mean, deviation: per channel and tap, measured on training pictures, see `measure`.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        channels = [SHAPES[tap].outputs for tap in TAPS]
        for number, count in enumerate(channels):
            self.register_buffer(f"mean{number}", torch.zeros(count))
            self.register_buffer(f"deviation{number}", torch.ones(count))
        self.top = nn.Conv2d(channels[-1], WIDTHS[-1], 1)
        self.whole = nn.Linear(channels[-1], WIDTHS[-1])  # what kind of picture it is, for all places alike
        read = [channels[0] + 3, *channels[1:-1]]  # the finest stage sees the pixels, too
        self.stages = nn.ModuleList(
            _Stage(above, beside, width)
            for beside, (width, above) in reversed(list(zip(read, pairwise(WIDTHS), strict=True)))
        )
        self.change = nn.Conv2d(WIDTHS[0], 3, 3, padding=1)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        *finer, last = self._standardised(self.features(x))
        h = F.silu(self.top(last)) + self.whole(last.mean((2, 3)))[..., None, None]
        finer[0] = torch.cat([finer[0], x], 1)
        for stage, beside in zip(self.stages, reversed(finer), strict=True):
            h = stage(h, beside)
        end: Tensor = x + self.change(h)
        return end

    @torch.no_grad()
    def features(self, x: Tensor) -> list[Tensor]:
        """The trunk's, as this reads them."""
        return self.trunk(enlarged(x, MAGNIFICATION), TAPS)

    @torch.no_grad()
    def advance(self, x: Tensor, share: float) -> Tensor:
        """From pictures x that share of the way to where chains of strength 1 end, within [-1, 1]."""
        return torch.lerp(x, self(x), share).clamp(-1, 1)

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Standardise features by those of training pictures (B, 3, H, W)."""
        for number, h in enumerate(self.features(x)):
            flat = h.transpose(0, 1).flatten(1)
            self.get_buffer(f"mean{number}").copy_(flat.mean(1))
            self.get_buffer(f"deviation{number}").copy_(flat.std(1) + 1e-3)

    def _standardised(self, features: Sequence[Tensor]) -> list[Tensor]:
        found = []
        for number, h in enumerate(features):
            mean, deviation = self.get_buffer(f"mean{number}"), self.get_buffer(f"deviation{number}")
            found.append((h - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1))
        return found


class _Stage(nn.Module):
    """(B, above, h, w) and the tap's features (B, beside, H, W) -> (B, width, H, W)."""

    def __init__(self, above: int, beside: int, width: int) -> None:
        super().__init__()
        self.joined = nn.Conv2d(above + beside, width, 3, padding=1)
        self.more = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, h: Tensor, beside: Tensor) -> Tensor:
        h = F.interpolate(h, beside.shape[-2:], mode="bilinear", align_corners=False)
        h = F.silu(self.joined(torch.cat([h, beside], 1)))
        return F.silu(h + self.more(h))
