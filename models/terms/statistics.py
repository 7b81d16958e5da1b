"""Statistics: a density over feature statistics of paintings, for styles. It is fitted, not trained.

Per resolution and tap, the Gram matrix of the trunk's features (Gatys et al., CVPR 2016) is compared with those of
all paintings i:

    E(x) = -tau log sum_i exp(-d_i(x) / tau),        d_i = sum over taps of |G(x) - G_i|^2 / spread,

a kernel density: low near any painting, whichever fits the picture best. The Gram matrices are kept as their
coordinates in the `rank` main directions of the paintings' own (PCA); what a picture has beyond these counts in full.
A content distance, on the mean features of a deep tap, lets paintings of like scenes come first. A window leaves the
margins out, where pictures of a thing show its ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.energy import EnergyFn, pooled
from models.terms.trunk import LAST, SHAPES, OnTrunk, Trunk


@dataclass(frozen=True)
class StatisticsConfig:
    """Shape of the banks. taps: blocks of the trunk. paintings: how many. rank: kept directions of a Gram matrix.
    tau: the temperature of the density. content: weight of the content distance, which is read at content_tap, beside a
    tap's; 0 for none. window: how far from the middle places count, as a share of the sides, see `plateau`; 0 for
    everywhere alike."""

    resolutions: tuple[int, ...] = (64, 128, 256)
    taps: tuple[int, ...] = (0, 2, 4, 10)
    paintings: int = 1
    rank: int = 48
    tau: float = 1.0
    content: float = 0.0
    content_tap: int = LAST
    window: float = 0.0
    kind: Literal["statistics"] = "statistics"

    def __post_init__(self) -> None:
        if not self.resolutions or any(not 32 <= r <= 1024 for r in self.resolutions):
            raise ValueError("statistics need resolutions within 32..1024 px")
        if any(fine != 2 * coarse for coarse, fine in zip(self.resolutions, self.resolutions[1:], strict=False)):
            raise ValueError("each resolution must be twice the one before")
        if not self.taps or list(self.taps) != sorted(set(self.taps)) or not 0 <= self.taps[0] <= self.taps[-1] <= LAST:
            raise ValueError(f"taps must be blocks of the trunk, ascending within 0..{LAST}")
        if not (1 <= self.paintings <= 10_000 and 1 <= self.rank <= 512 and 0 <= self.content_tap <= LAST):
            raise ValueError("the banks of statistics are too large")
        if not 0 < self.tau <= 1000 or not 0 <= self.content <= 1000:
            raise ValueError("tau must lie in (0, 1000], content in 0..1000")
        if not (self.window == 0 or 0.05 <= self.window <= 10):
            raise ValueError("window must be 0 or lie in 0.05..10")

    def up_to(self, resolution: int) -> StatisticsConfig:
        """Without what is finer than `resolution` px."""
        return replace(self, resolutions=tuple(r for r in self.resolutions if r <= resolution))

    def directions(self, channels: int) -> int:
        """How many directions are kept of the Gram matrices of so many channels."""
        return min(self.rank, self.paintings, channels * (channels + 1) // 2)


class Bank(nn.Module):
    """Vectors of all paintings as coordinates in their main directions; see `fit`."""

    def __init__(self, size: int, directions: int, paintings: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(size, directions))
        self.register_buffer("points", torch.zeros(paintings, directions))
        self.register_buffer("spread", torch.ones(()))

    def distances(self, x: Tensor) -> Tensor:
        """Squared distances of vectors (B, size) to all paintings, divided by the bank's spread: (B, paintings)."""
        centred = x - self.get_buffer("mean")
        along = centred @ self.get_buffer("basis")
        beyond = (centred.square().sum(1) - along.square().sum(1)).clamp(min=0)
        points = self.get_buffer("points")
        inside = along.square().sum(1, keepdim=True) - 2 * along @ points.T + points.square().sum(1)
        return (inside.clamp(min=0) + beyond[:, None]) / self.get_buffer("spread")

    @torch.no_grad()
    def fit(self, vectors: Tensor) -> None:
        """Take over the paintings' vectors, (paintings, size)."""
        mean = vectors.mean(0)
        centred = vectors - mean
        *_, directions = torch.linalg.svd(centred, full_matrices=False)
        basis = directions[: self.get_buffer("basis").shape[1]].T
        self.get_buffer("mean").copy_(mean)
        self.get_buffer("basis").copy_(basis)
        self.get_buffer("points").copy_(centred @ basis)
        # One painting has no spread of its own: its size stands in.
        spread = centred.square().sum(1).mean() if len(vectors) > 1 else mean.square().sum()
        self.get_buffer("spread").copy_(spread.clamp(min=1e-12))


class StatisticsEnergy(OnTrunk):
    """A MultiscaleEnergy of feature statistics. Levels are fitted one by one, nothing fades in."""

    def __init__(self, config: StatisticsConfig, trunk: Trunk) -> None:
        super().__init__(trunk)
        self.config = config
        self.banks = nn.ModuleDict()
        for resolution in config.resolutions:
            for tap in config.taps:
                channels = SHAPES[tap].outputs
                size = channels * (channels + 1) // 2
                self.banks[f"{resolution}_{tap}"] = Bank(size, config.directions(channels), config.paintings)
            if config.content:
                size = SHAPES[config.content_tap].outputs
                self.banks[f"{resolution}_content"] = Bank(size, min(config.paintings, size), config.paintings)

    @property
    def resolutions(self) -> tuple[int, ...]:
        return self.config.resolutions

    def at(self, resolution: int, beta: float = 1.0) -> EnergyFn:
        return lambda x: self(x, resolution)

    def forward(self, x: Tensor, resolution: int, beta: float = 1.0) -> Tensor:
        """Pictures (B, 3, H, W) at `resolution` -> energies (B,)."""
        return self._energies(self._statistics(x), resolution)

    def embed(self, x: Tensor, resolution: int, beta: float = 1.0) -> list[Tensor]:
        return [x]

    def from_embedding(self, embedding: list[Tensor], resolution: int, beta: float = 1.0) -> Tensor:
        return self(embedding[0], resolution)

    def _energies(self, statistics: dict[int | str, Tensor], resolution: int) -> Tensor:
        weights = {"content": self.config.content}
        found = [
            weights.get(str(tap), 1.0) * self._bank(resolution, tap).distances(vectors)
            for tap, vectors in statistics.items()
        ]
        tau = self.config.tau
        return -tau * torch.logsumexp(-torch.stack(found).sum(0) / tau, 1)

    def map(self, x: Tensor, resolution: int) -> Tensor:
        """What each place adds to the energy at first order, (B, h, w): half of feature times dE/dfeature.

        A Gram matrix is quadratic in the features and a mean over places: these parts sum to what the energy would
        lose if it were linear in the matrices.
        """
        features = [h.detach().requires_grad_() for h in self.trunk(x, self._taps)]
        with torch.enable_grad():
            energies = self._energies(self._from_features(features), resolution)
            gradients = torch.autograd.grad(energies.sum(), features)
        parts = [(h * g).sum(1, keepdim=True).detach() / 2 for h, g in zip(features, gradients, strict=True)]
        size = parts[0].shape[-2:]
        # A coarse place is shared out among the fine ones that it covers.
        same = [F.interpolate(p, size, mode="bilinear") * (p[0].numel() / size.numel()) for p in parts]
        return torch.cat(same, 1).sum(1)

    @torch.no_grad()
    def fit(self, paintings: Sequence[Tensor]) -> None:
        """Fill the banks from batches of paintings (B, 3, S, S) in [-1, 1], S the finest resolution."""
        for resolution in self.resolutions:
            batches = [self._statistics(pooled(batch, batch.shape[-1] // resolution)) for batch in paintings]
            for tap in batches[0]:
                self._bank(resolution, tap).fit(torch.cat([batch[tap] for batch in batches]))

    @property
    def _taps(self) -> list[int]:
        """All taps that are read, ascending."""
        return sorted({*self.config.taps, *([self.config.content_tap] if self.config.content else [])})

    def _statistics(self, x: Tensor) -> dict[int | str, Tensor]:
        """Gram matrices by tap, and the mean features for content: vectors (B, size)."""
        return self._from_features(self.trunk(x, self._taps))

    def _from_features(self, features: Sequence[Tensor]) -> dict[int | str, Tensor]:
        config, by_tap = self.config, dict(zip(self._taps, features, strict=True))
        found: dict[int | str, Tensor] = {tap: gram(self._weighed(by_tap[tap], 0.5)) for tap in config.taps}
        if config.content:
            found["content"] = self._weighed(by_tap[config.content_tap], 1.0).mean((2, 3))
        return found

    def _weighed(self, features: Tensor, power: float) -> Tensor:
        """Features times what their places count. power: 1 for a mean over places, 1/2 for products of two features."""
        window = self.config.window
        return features * plateau(features, window) ** power if window else features

    def _bank(self, resolution: int, tap: int | str) -> Bank:
        bank = self.banks[f"{resolution}_{tap}"]
        assert isinstance(bank, Bank)
        return bank


def gram(features: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C (C + 1) / 2): products of channels, averaged over places, each pair once.

    Pairs of different channels carry a weight of sqrt(2), so that distances are those of the whole matrices.
    """
    flat = features.flatten(2)
    products = flat @ flat.mT / flat.shape[2]
    rows, columns = torch.triu_indices(*products.shape[1:], device=features.device)
    weights = torch.where(rows == columns, 1.0, 2**0.5)
    return products[:, rows, columns] * weights


def plateau(features: Tensor, window: float) -> Tensor:
    """How much each place of maps (B, C, h, w) counts: (h, w), with the mean 1. Much the same around the middle, and
    little at the margins: exp(-(r / window)^4 / 2) across and down, with r in sides."""
    sides = []
    for count in features.shape[-2:]:
        r = (torch.arange(count, device=features.device) + 0.5) / count - 0.5
        side = torch.exp(-((r / window) ** 4) / 2)
        sides.append(side / side.mean())
    return (sides[0][:, None] * sides[1]).to(features)
