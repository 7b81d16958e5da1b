"""Things with a texture: learned votes on all levels but the finest one, and fitted statistics there.

Votes draw what a thing is: where a dog's eyes are. How its fur looks at 256 px they learn slowly, and as relief. The
statistics of target pictures know it without learning, and do not know what a dog is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.energy import EnergyFn
from models.terms.perceptual import PerceptualEnergy
from models.terms.statistics import StatisticsConfig, StatisticsEnergy
from models.terms.votes import VotesConfig


@dataclass(frozen=True)
class TexturedConfig:
    """things: the coarser levels, which are learned. texture: the finest one, which is fitted."""

    things: VotesConfig
    texture: StatisticsConfig
    kind: Literal["textured"] = "textured"

    def __post_init__(self) -> None:
        if self.texture.resolutions != (2 * self.things.resolutions[-1],):
            raise ValueError("a texture has one resolution, twice the finest one of the votes")

    @property
    def resolutions(self) -> tuple[int, ...]:
        return (*self.things.resolutions, *self.texture.resolutions)

    def up_to(self, resolution: int) -> VotesConfig:
        """Without the texture, and what else is finer than `resolution` px."""
        return self.things.up_to(resolution)


class TexturedEnergy(nn.Module):
    """A MultiscaleEnergy whose levels are those of two others. Nothing fades in."""

    def __init__(self, things: PerceptualEnergy, texture: StatisticsEnergy) -> None:
        super().__init__()
        self.config = TexturedConfig(things.config, texture.config)
        self.things, self.texture = things, texture

    @property
    def resolutions(self) -> tuple[int, ...]:
        return self.config.resolutions

    def at(self, resolution: int, beta: float = 1.0) -> EnergyFn:
        return self._part(resolution).at(resolution)

    def forward(self, x: Tensor, resolution: int, beta: float = 1.0) -> Tensor:
        """Pictures (B, 3, H, W) at `resolution` -> energies (B,)."""
        energies: Tensor = self._part(resolution)(x, resolution)
        return energies

    @torch.no_grad()
    def embed(self, x: Tensor, resolution: int, beta: float = 1.0) -> list[Tensor]:
        return self._part(resolution).embed(x, resolution)

    def from_embedding(self, embedding: list[Tensor], resolution: int, beta: float = 1.0) -> Tensor:
        return self._part(resolution).from_embedding(embedding, resolution)

    def map(self, x: Tensor, resolution: int) -> Tensor:
        return self._part(resolution).map(x, resolution)

    def _part(self, resolution: int) -> PerceptualEnergy | StatisticsEnergy:
        return self.things if resolution in self.config.things.resolutions else self.texture
