"""The perceptual energy: one Votes term per resolution, on one frozen trunk.

    E_R(x) = beta * Votes_R(x) + (1 - beta) * E_{R/2}(pool(x))

is the Expand of CF-EBM (Zhao, Xie, Li, ICLR 2021), over whole terms: at beta = 0 the function equals the coarser one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.energy import EnergyFn, enlarged, pooled
from models.terms.spectral import LearnedGain, spectral_norm
from models.terms.trunk import OnTrunk, Trunk
from models.terms.votes import MEASURED, Votes, VotesConfig


class PerceptualEnergy(OnTrunk):
    """A MultiscaleEnergy on the trunk's features."""

    def __init__(self, config: VotesConfig, trunk: Trunk) -> None:
        super().__init__(trunk)
        self.config = config
        self.terms = nn.ModuleDict({str(r): Votes(config, r) for r in config.resolutions})

    @property
    def resolutions(self) -> tuple[int, ...]:
        return self.config.resolutions

    def at(self, resolution: int, beta: float = 1.0) -> EnergyFn:
        return lambda x: self(x, resolution, beta)

    def forward(self, x: Tensor, resolution: int, beta: float = 1.0) -> Tensor:
        """Pictures (B, 3, H, W) at `resolution` -> energies (B,)."""
        return self.from_embedding(self._embedded(x, resolution, beta), resolution, beta)

    @torch.no_grad()
    def embed(self, x: Tensor, resolution: int, beta: float = 1.0) -> list[Tensor]:
        return self._embedded(x, resolution, beta)

    def from_embedding(self, embedding: list[Tensor], resolution: int, beta: float = 1.0) -> Tensor:
        per_level = 1 + len(self.config.taps)
        energies: Tensor | None = None
        for number, (level, weight) in enumerate(self._faded(resolution, beta)):
            x, *features = embedding[number * per_level : (number + 1) * per_level]
            part = weight * self.term(level)(x, features)
            energies = part if energies is None else energies + part
        assert energies is not None
        return energies

    @torch.no_grad()
    def map(self, x: Tensor, resolution: int) -> Tensor:
        return self.term(resolution).map(x, self._features(x, resolution))

    def term(self, resolution: int) -> Votes:
        """The Votes of one resolution."""
        term = self.terms[str(resolution)]
        assert isinstance(term, Votes)
        return term

    def start_level(self, resolution: int) -> None:
        """A finer level starts from what the coarser one has learned; what was measured for it stays."""
        coarse, fine = self.term(resolution // 2).state_dict(), self.term(resolution).state_dict()
        for name, value in fine.items():
            if not name.startswith(MEASURED):
                value.copy_(coarse[name])

    def measure(self, batches: Sequence[Tensor]) -> None:
        """Standardise features by those of training pictures (B, 3, S, S), S the finest resolution."""
        for resolution in self.resolutions:
            small = [pooled(batch, self.resolutions[-1] // resolution) for batch in batches]
            self.term(resolution).measure([self._features(batch, resolution) for batch in small])

    def spectral_normalised(self) -> PerceptualEnergy:
        """Put spectral norm on every convolution, for training, and a learned gain on the last one of each head."""
        for term in self.terms.values():
            assert isinstance(term, Votes)
            for head in (*term.heads, term.pixels):
                layers = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)]
                for layer in layers:
                    spectral_norm(layer, LearnedGain() if layer is layers[-1] else None)
        return self

    def _embedded(self, x: Tensor, resolution: int, beta: float) -> list[Tensor]:
        found: list[Tensor] = []
        for level, _ in self._faded(resolution, beta):
            at_level = pooled(x, resolution // level)
            found += [at_level, *self._features(at_level, level)]
        return found

    def _features(self, x: Tensor, resolution: int) -> list[Tensor]:
        """The trunk's features of a level's pictures."""
        return self.trunk(enlarged(x, self.config.magnification(resolution)), self.config.taps)

    def _faded(self, resolution: int, beta: float) -> list[tuple[int, float]]:
        """The levels that an energy is made of, and their weights."""
        if beta >= 1 or resolution == self.resolutions[0]:
            return [(resolution, 1.0)]
        coarser = (resolution // 2, 1 - beta)
        return [coarser] if beta <= 0 else [(resolution, beta), coarser]
