"""KID while a model learns: where the SqueezeNet features are at hand, on a few fixed training pictures.

On so few pictures, which the model has learned from, the figure says whether a training gets better, not how good it
is: that is what `cf-translate evaluate` measures, on others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.train.data import ImageArray
from translate.metrics.evaluation import kid
from translate.metrics.features import SqueezeFeatures, nearby_features

TARGETS = 128


def features_at_hand(file: Path | None, device: torch.device | str) -> SqueezeFeatures | None:
    """The feature network of `file`, of the file beside the checkout, or of torchvision's weights if they are on this
    disk; None without any. Nothing is downloaded. Raises FeaturesError for a file that does not hold it."""
    from torchvision.models import SqueezeNet1_1_Weights

    file = file or nearby_features()
    downloaded = Path(torch.hub.get_dir(), "checkpoints", SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2])
    if file is None and not downloaded.is_file():
        return None
    with torch.random.fork_rng(devices=[]):  # an empty network draws its weights before it gets them
        return SqueezeFeatures.load(file, device)


def training_kid(target: ImageArray, size: int, features: SqueezeFeatures) -> Callable[[Tensor], float] | None:
    """A function: pictures (N, 3, size, size) in [-1, 1] -> SqueezeNet-KID x100 against the first target pictures.

    None where the domain has but one picture, too few for a KID; NaN where N is 1.
    """
    if len(target) < 2:
        return None

    @cache  # not before the first sheet, which a short training never comes to
    def targets() -> np.ndarray:
        return features.pooled(_levels(target.first(TARGETS, size))).cpu().numpy()

    def measure(pictures: Tensor) -> float:
        if len(pictures) < 2:
            return float("nan")
        return 100 * kid(features.pooled(_levels(pictures)).cpu().numpy(), targets())

    return measure


def _levels(x: Tensor) -> Tensor:
    return ((x + 1) * 127.5).contiguous(memory_format=torch.channels_last)  # twice as fast on processors
