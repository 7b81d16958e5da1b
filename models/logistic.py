"""Logistic regression of two classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def fit_logistic(inputs: Tensor, labels: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Weights (F,) and bias () of what tells inputs (N, F) with label 1 from those with label 0; labels: bool, (N,).

    Both classes count the same, however many they are. decay: of the weights, times the sum of their squares.
    """
    share = labels.float().mean()
    balance = torch.where(labels, 0.5 / share, 0.5 / (1 - share)).to(inputs)
    wanted = labels.to(inputs)
    weight = torch.zeros(inputs.shape[1], device=inputs.device, requires_grad=True)
    bias = torch.zeros((), device=inputs.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = inputs @ weight + bias
        value = F.binary_cross_entropy_with_logits(logits, wanted, balance) + decay * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
    return weight.detach(), bias.detach()
