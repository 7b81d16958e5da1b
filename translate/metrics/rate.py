"""The domain rate: the share of pictures that a simple classifier on features puts in the target domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

PENALTY = 10.0  # a training picture: one rule for all networks and sets, and a firm one, since features are many
FOLDS = 5


@dataclass(frozen=True)
class Rate:
    """share: 0..1. low, high: its 95 % interval (Wilson)."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class DomainClassifier:
    """Ridge regression on standardised features, by scikit-learn; both domains count alike.

    accuracy: on training pictures that it was not fitted to, by FOLDS-fold cross-validation; None with too few of them.
    """

    model: Any
    accuracy: float | None

    @classmethod
    def fit(cls, sources: Tensor, targets: Tensor) -> DomainClassifier:
        """Features (N, D) and (M, D). Raises ValueError if a domain is empty."""
        import numpy as np
        from sklearn.linear_model import RidgeClassifier
        from sklearn.model_selection import cross_val_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if not len(sources) or not len(targets):
            raise ValueError("the domain classifier needs pictures of both domains")
        features = np.concatenate([sources.numpy(), targets.numpy()]).astype(np.float64)
        domain = np.repeat([0, 1], [len(sources), len(targets)])
        model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=PENALTY * len(features), class_weight="balanced"))
        accuracy = None
        if min(len(sources), len(targets)) >= FOLDS:
            accuracy = float(cross_val_score(model, features, domain, cv=FOLDS, scoring="balanced_accuracy").mean())
        return cls(model.fit(features, domain), accuracy)

    def rate(self, features: Tensor) -> Rate:
        """Of features (N, D)."""
        from scipy.stats import binomtest

        hits = int(self.model.predict(features.double().numpy()).sum())
        interval = binomtest(hits, len(features)).proportion_ci(method="wilson")
        low, high = (min(1.0, max(0.0, float(v))) for v in interval)
        return Rate(hits / len(features), low, high)
