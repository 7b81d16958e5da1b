"""Figures of a model that learns, on pictures that it does not learn from.

A share of each domain's pictures is held out: the sample sheets show what the model makes of those sources, and KID and
rate are measured on them. On so few pictures the figures say whether a training gets better; how good a model is,
`cf-translate evaluate` measures on a test set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torchvision.models import SqueezeNet1_1_Weights

from models.train.data import ImageArray
from models.train.run_dir import Measure, Measured
from translate.metrics.distances import kid, spread
from translate.metrics.extra import missing
from translate.metrics.networks import Network, downloaded, load_networks
from translate.metrics.pairs import FEWEST
from translate.metrics.rate import DomainClassifier

SHARE, MOST = 10, 64  # one picture of so many is held out, and no more than so many
LEARNED = 300  # pictures of each domain that the rate's classifier learns from, as the model does
T = TypeVar("T")


def split(items: Sequence[T]) -> tuple[list[T], list[T]]:
    """(to learn from, held out): evenly chosen; where too few would be held out to measure on, none is."""
    count = min(MOST, len(items) // SHARE)
    if count < FEWEST:
        return list(items), []
    chosen = {number * len(items) // count for number in range(count)}
    return [x for n, x in enumerate(items) if n not in chosen], [x for n, x in enumerate(items) if n in chosen]


def network_at_hand(features: Path | None, device: torch.device | str) -> Network | None:
    """What judges while a model learns: SqueezeNet of the file or, if torch has fetched it before, torchvision's; else
    EfficientNet-Lite2. Nothing is downloaded; None without the extra. Raises FeaturesError for a file that does not
    fit, MissingExtra for a file without the extra."""
    if features is None and missing():
        return None
    squeezenet = features is not None or downloaded(SqueezeNet1_1_Weights.DEFAULT.url)
    (network,) = load_networks(["squeezenet" if squeezenet else "efficientnet-lite2"], features, device)
    return network


def measurer(
    network: Network, size: int, held_out: ImageArray, target: ImageArray, source: ImageArray | None
) -> Measure:
    """What measures translations (N, 3, size, size) in [-1, 1]; it returns None for fewer than 4, and for broken ones.

    held_out: target pictures that KID compares with. target, source: what the model learns from, and the classifier;
    without source pictures there is no rate.
    """

    @cache  # not before the first sheet, which a short training never comes to
    def known() -> tuple[Tensor, DomainClassifier | None]:
        features = network.features(_levels(held_out.first(len(held_out), size)))
        if source is None:
            return features, None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            learned = [network.features(_levels(domain.batch(LEARNED, size))) for domain in (source, target)]
        return features, DomainClassifier.fit(*learned)

    def measure(pictures: Tensor) -> Measured | None:
        if min(len(pictures), len(held_out)) < FEWEST or not bool(pictures.isfinite().all()):
            return None
        against, classifier = known()
        found = network.features(_levels(pictures))
        distance = kid(found, against, spread(against) if network.by_spread else 1.0)
        if not math.isfinite(distance.value):
            return None
        return Measured(distance.value, distance.sd, None if classifier is None else classifier.rate(found).share)

    return measure


def _levels(x: Tensor) -> Tensor:
    return ((x + 1) * 127.5).contiguous(memory_format=torch.channels_last)  # twice as fast on CPUs
