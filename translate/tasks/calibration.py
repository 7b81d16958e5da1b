"""What a model must know of its own domain before it restores pictures or judges them: measured once, kept in its file.

The energy of a model that makes pictures from noise is learned with chains and noise; along its slope a noisy picture
becomes a clean one, x = y - walk * dE/dx(y) (Miyasawa 1961; Robbins 1956), if the walk has the right length. That
length, for each level and strength of noise, and the usual range of the energy's statistics are found on pictures of
the domain.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.config import ModelConfig
from models.energy import MultiscaleEnergy, energy_and_grad
from models.model import Model
from models.schedule import Schedule
from translate.images.training_set import read_training_folder
from translate.tasks.typicality import TypicalityStats, at_resolution, statistics

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # of noise, as shares of the full range from black to white
MIN_IMAGES = 16  # pictures: with fewer of them nothing can be called usual
MAX_IMAGES = 1000  # pictures that are looked at
_NOISY = 64  # pictures whose noise is measured
_AT_ONCE = 32


class NotCalibrated(ValueError):
    """A model that cannot do what is asked until it is calibrated; the message is one plain sentence."""


def calibrate(energy: MultiscaleEnergy, config: ModelConfig, pictures: NDArray[np.uint8], seed: int = 0) -> ModelConfig:
    """Measure a model on pictures of its domain, uint8 (N, 3, S, S), S the schedule's finest resolution.

    Returns the configuration with its calibration. Raises ValueError where there are too few pictures.
    """
    if len(pictures) < MIN_IMAGES:
        raise ValueError(f"a calibration needs at least {MIN_IMAGES} pictures, not {len(pictures)}")
    # Evenly chosen, with their mirror images: those are as usual.
    chosen = np.array(pictures[np.linspace(0, len(pictures) - 1, min(MAX_IMAGES, len(pictures))).round().astype(int)])
    x = torch.from_numpy(chosen).float() / 127.5 - 1
    rows = torch.cat([statistics(energy, config.schedule, part) for part in x.split(_AT_ONCE)])
    walks = _walks(energy, config.schedule, x[:: max(1, len(x) // _NOISY)][:_NOISY], seed)
    stats = TypicalityStats.of(rows.numpy())
    return replace(config, calibration={"walks": walks, "usual": asdict(stats)})


def calibrate_file(
    model: Path, folder: Path, target: Path, name: str, say: Callable[[str], None] = lambda sentence: None
) -> None:
    """Calibrate a model file on the folder that it was trained on and save it as `target`, which may be the same.

    name: of the model, for sentences. say: called with a sentence for each image that is left out. Raises ValueError
    (ImageError, BadModel), OSError.
    """
    loaded = Model.load(model)
    require_denoiser(loaded.config, name, "be calibrated")
    squares, bad = read_training_folder(folder, loaded.config.schedule.finest)
    for error in bad:
        say(f"left out: {error}")
    replace(loaded, config=calibrate(loaded.energy, loaded.config, squares)).save(target)


def denoise_scale(config: ModelConfig, resolution: int, sigma: float, name: str = "this model") -> float:
    """How far down the slope a picture at a resolution lies from what it was before noise of strength `sigma`.

    sigma: standard deviation as a share of the full range. Raises NotCalibrated, and ValueError for a broken file.
    """
    walks = config.calibration.get("walks")
    if walks is None:
        to_run = f"cf-translate calibrate {shlex.quote(name)} --pictures FOLDER_IT_WAS_TRAINED_ON"
        raise NotCalibrated(f"{name} was never calibrated; run: {to_run}")
    try:
        return float(np.interp(sigma, SIGMAS, [float(length) for length in walks[str(resolution)]]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} holds a calibration that this version cannot read") from error


def require_denoiser(config: ModelConfig, name: str, task: str) -> None:
    """Raises ValueError for a model that translates: its energy has never seen noise, and it tells its own domain from
    another one no better than chance."""
    if config.source is not None:
        raise ValueError(
            f"{name} translates {config.source} to {config.target}; "
            f"it takes a model trained without a source folder to {task}"
        )


def require_calibrated(config: ModelConfig, name: str, task: str) -> None:
    """Raises ValueError for a model that translates, NotCalibrated for one that is not calibrated."""
    require_denoiser(config, name, task)
    load_stats(config, name)


def load_stats(config: ModelConfig, name: str = "this model") -> TypicalityStats:
    """What is usual for the model's domain. Raises as `walk` does."""
    denoise_scale(config, config.schedule.finest, SIGMAS[0], name)  # says so where there is no calibration
    try:
        return TypicalityStats.from_dict(config.calibration["usual"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} holds a calibration that this version cannot read") from error


def _walks(energy: MultiscaleEnergy, schedule: Schedule, x: Tensor, seed: int) -> Mapping[str, Any]:
    """For each resolution and each of SIGMAS the length that leads back best, by least squares."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[float]] = {}
    for level in schedule.levels:
        clean = at_resolution(x, level.resolution)
        lengths = []
        for sigma in SIGMAS:
            noisy = (clean + 2 * sigma * torch.randn(clean.shape, generator=generator)).clamp(-1, 1)
            down = torch.cat([energy_and_grad(energy.at(level.resolution), part)[1] for part in noisy.split(_AT_ONCE)])
            lengths.append(max(0.0, float(((noisy - clean) * down).sum() / down.square().sum().clamp(min=1e-12))))
        found[str(level.resolution)] = [float(f"{length:.4g}") for length in lengths]
    return found
