"""What a model must know of its own domain before it restores or judges pictures: measured once, kept in its file.

An energy that learned the way back from noise has a slope along which a noisy picture becomes a clean one,
x = y - scale * dE/dx(y) (Miyasawa 1961; Robbins 1956), if the scale is right: it is found on pictures of the domain,
for each level and strength of noise. A model that makes pictures learns what is usual in its domain.
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
from models.gate import DomainProbe
from models.model import Model
from models.schedule import Schedule
from translate.images.training_set import read_training_folder
from translate.tasks.kinds import is_denoiser, require_judge
from translate.tasks.typicality import TypicalityStats

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # of noise, as shares of the full range from black to white
MIN_IMAGES = 16  # pictures: with fewer of them nothing can be called usual
MAX_IMAGES = 1000  # pictures that are looked at
_NOISY = 64  # pictures whose noise is measured
_AT_ONCE = 32


class NotCalibrated(ValueError):
    """A model that cannot do what is asked until it is calibrated; the message is one plain sentence."""


def calibrate(model: Model, pictures: NDArray[np.uint8], name: str = "this model", seed: int = 0) -> Model:
    """Measure a model on pictures of its domain, uint8 (N, 3, S, S), S the schedule's finest resolution.

    Returns the model with its calibration. Raises ValueError where there are too few pictures, and for a model that
    neither restores nor judges.
    """
    if not is_denoiser(model.config):
        require_judge(model.config, name)
    if len(pictures) < MIN_IMAGES:
        raise ValueError(f"a calibration needs at least {MIN_IMAGES} pictures, not {len(pictures)}")
    chosen = np.array(pictures[np.linspace(0, len(pictures) - 1, min(MAX_IMAGES, len(pictures))).round().astype(int)])
    x = torch.from_numpy(chosen).float() / 127.5 - 1
    found: dict[str, Any]
    if model.probe is None:
        found = {"scales": _scales(model.energy, model.config.schedule, x[:: max(1, len(x) // _NOISY)][:_NOISY], seed)}
    else:
        found = {"usual": asdict(TypicalityStats.of(measured(model.probe, x)))}
    return replace(model, config=replace(model.config, calibration=found))


def calibrate_file(
    model: Path, folder: Path, target: Path, name: str, say: Callable[[str], None] = lambda sentence: None
) -> None:
    """Calibrate a model file on a folder of its domain and save it as `target`, which may be the same.

    name: of the model, for sentences. say: called with a sentence for each image that is left out. Raises ValueError
    (ImageError, BadModel), OSError.
    """
    loaded = Model.load(model)
    if not is_denoiser(loaded.config):
        require_judge(loaded.config, name)
    squares, bad = read_training_folder(folder, loaded.config.schedule.finest)
    for error in bad:
        say(f"left out: {error}")
    calibrate(loaded, np.asarray(squares), name).save(target)


def measured(probe: DomainProbe, x: Tensor) -> NDArray[np.float32]:
    """What the probe finds at pictures (N, 3, S, S) in [-1, 1]: (N, 2)."""
    device = probe.get_buffer("mean").device
    rows: NDArray[np.float32] = torch.cat([probe.measure(part.to(device)).cpu() for part in x.split(_AT_ONCE)]).numpy()
    return rows


def denoise_scale(config: ModelConfig, resolution: int, sigma: float, name: str = "this model") -> float:
    """How far down the slope a picture at a resolution lies from what it was before noise of strength `sigma`.

    sigma: standard deviation as a share of the full range. Raises NotCalibrated, and ValueError for a broken file.
    """
    scales = _calibration(config, "scales", name)
    try:
        return float(np.interp(sigma, SIGMAS, [float(scale) for scale in scales[str(resolution)]]))
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(name) from error


def load_stats(config: ModelConfig, name: str = "this model") -> TypicalityStats:
    """What is usual for the model's domain. Raises ValueError for a model that does not judge, NotCalibrated, and
    ValueError for a broken file."""
    require_judge(config, name)
    usual = _calibration(config, "usual", name)
    try:
        return TypicalityStats.from_dict(usual)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(name) from error


def _calibration(config: ModelConfig, key: str, name: str) -> Any:
    if key not in config.calibration:
        to_run = f"cf-translate calibrate {shlex.quote(name)} --pictures FOLDER_OF_ITS_DOMAIN"
        raise NotCalibrated(f"{name} was never calibrated; run: {to_run}")
    return config.calibration[key]


def _unreadable(name: str) -> ValueError:
    return ValueError(f"{name} holds a calibration that this version cannot read")


def _scales(energy: MultiscaleEnergy, schedule: Schedule, x: Tensor, seed: int) -> Mapping[str, Any]:
    """For each resolution and each of SIGMAS the scale that leads back best, by least squares."""
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


def at_resolution(x: Tensor, resolution: int) -> Tensor:
    """Square pictures (B, 3, S, S), average-pooled to a level's resolution."""
    return x if x.shape[-1] == resolution else torch.nn.functional.adaptive_avg_pool2d(x, resolution)
