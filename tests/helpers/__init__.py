"""What the tests of models/ share: small pictures, small energies, small trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.gate import DomainProbe, fit_probe
from models.terms.perceptual import PerceptualEnergy
from models.terms.statistics import StatisticsConfig, StatisticsEnergy
from models.terms.trunk import load_trunk
from models.terms.votes import VotesConfig
from models.train.data import ImageArray

RED, BLUE = (0.8, -0.7, -0.7), (-0.7, -0.7, 0.8)
VOTES = VotesConfig((32, 64), taps=(2, 10), width=8, pixel_width=4)
STATISTICS = StatisticsConfig((32, 64), taps=(0, 4), paintings=5, rank=3)


def random_pictures(count: int, side: int, *, width: int | None = None, seed: int = 0) -> Tensor:
    """Pictures with something to see at every scale: (count, 3, side, width or side) in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    size = (side, width or side)
    total = torch.zeros(count, 3, *size)
    for cells in (2, 4, 8, 16):
        coarse = torch.randn(count, 3, cells, cells, generator=generator)
        total += torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    return (0.4 * total).clamp(-1, 1)


def noise_images(count: int, seed: int = 0, side: int = 64, mean: float = 128) -> list[Image.Image]:
    """Images of plain noise around one level of 255."""
    rng = np.random.default_rng(seed)
    pixels = (rng.normal(mean, 20, (side, side, 3)).clip(0, 255).astype(np.uint8) for _ in range(count))
    return [Image.fromarray(each) for each in pixels]


def panel_folders(place: Path, count: int) -> tuple[Path, Path, Path]:
    """Results of A (reddish), of B (bluish) and their sources (greenish), `count` of each, named 1.png and so on."""
    folders = place / "first results", place / "second results", place / "sources"
    for folder, channel in zip(folders, (0, 2, 1), strict=True):
        folder.mkdir()
        for number in range(1, count + 1):
            color = [0, 0, 0]
            color[channel] = 180
            name = f"{number}-made.png" if channel == 2 else f"{number}.png"
            Image.new("RGB", (64, 64), tuple(color)).save(folder / name)
    return folders


def discs(count: int, color: tuple[float, float, float], side: int = 64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Discs of one colour on a gray ground with some noise, (count, 3, side, side), and where they are, as 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    pictures, masks = [], []
    for _ in range(count):
        row, column = (side * (0.35 + 0.3 * torch.rand(2, generator=generator))).tolist()
        radius = side * (0.18 + 0.08 * torch.rand((), generator=generator).item())
        mask = ((y - row) ** 2 + (x - column) ** 2 < radius**2).float()
        ground = 0.1 + 0.2 * torch.rand(1, generator=generator).item()
        noise = 0.05 * torch.randn(3, side, side, generator=generator)
        pictures.append((mask * torch.tensor(color).view(3, 1, 1) + (1 - mask) * ground + noise).clamp(-1, 1))
        masks.append(mask[None])
    return torch.stack(pictures), torch.stack(masks)


def tinted(seed: int, tint: tuple[int, int, int], *, count: int = 12, side: int = 18) -> ImageArray:
    """A domain of noise around one colour."""
    noise = np.random.default_rng(seed).integers(0, 60, (count, 3, side, side))
    return ImageArray((noise + np.array(tint).reshape(1, 3, 1, 1)).astype(np.uint8))


def votes_energy(config: VotesConfig = VOTES) -> PerceptualEnergy:
    """A random energy on the trunk."""
    torch.manual_seed(0)
    energy = PerceptualEnergy(config, load_trunk())
    energy.measure([random_pictures(8, config.resolutions[-1], seed=100)])
    return energy.eval().requires_grad_(False)


def paintings(config: StatisticsConfig = STATISTICS) -> Tensor:
    """The paintings that `statistics_energy` is fitted to."""
    return random_pictures(config.paintings, config.resolutions[-1], seed=7)


def statistics_energy(config: StatisticsConfig = STATISTICS) -> StatisticsEnergy:
    energy = StatisticsEnergy(config, load_trunk())
    energy.fit(list(paintings(config).split(2)))
    return energy.eval().requires_grad_(False)


def disc_probe() -> DomainProbe:
    """A probe of red discs against blue ones."""
    return fit_probe([discs(24, RED, seed=1)[0]], [discs(24, BLUE, seed=2)[0]], load_trunk())
