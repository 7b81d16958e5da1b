"""Spectral norm for training, and the weights in force."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

POWER_ITERATIONS = 30  # that find the norm of a weight which was put in


class VarianceGain(nn.Module):
    """Scales weights whose largest singular value is 1 so that a random layer keeps the variance of its input.

    A random matrix with that norm shrinks it by 1 + sqrt(outputs / inputs) (Marchenko & Pastur, 1967). Undone on every
    layer, the shrinking adds up: activations grow so small that SiLU is a straight line there and the energy is nearly
    quadratic in the pixels, blind to all but their means and variances.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.gain = 1 + math.sqrt(weight.shape[0] / weight[0].numel())

    def forward(self, weight: Tensor) -> Tensor:
        return self.gain * weight


class LearnedGain(nn.Module):
    """A learned scalar times the weight: one number sets how steep a head is, so that it grows slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, weight: Tensor) -> Tensor:
        return self.gain * weight


def spectral_norm(layer: nn.Conv2d, gain: nn.Module | None = None) -> None:
    """Put spectral norm (Miyato et al., ICLR 2018) on a layer's weight, and a gain behind it."""
    parametrizations.spectral_norm(layer)
    if gain is not None:
        parametrize.register_parametrization(layer, "weight", gain)


@torch.no_grad()
def effective_weights(energy: nn.Module) -> dict[str, Tensor]:
    """The weights in force, as a state dict of an energy without spectral norm.

    Chains, averages (EMA) and shipped files use these. Averaging them is safe; averaging the power-iteration vectors
    of spectral norm is not: they come out shorter than 1, and the chains blow up while the training is healthy.
    """
    weights = {name: value.detach() for name, value in energy.named_buffers() if "parametrizations" not in name}
    for name, module in energy.named_modules():
        if isinstance(module, nn.Conv2d):
            weights[f"{name}.weight"] = module.weight.detach()
            if module.bias is not None:
                weights[f"{name}.bias"] = module.bias.detach()
    return weights


@torch.no_grad()
def set_effective_weights(energy: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """The inverse: weights in force -> an energy with spectral norm, whose learned gains make up for the norm.

    A layer with spectral norm and no gain takes the direction of its weight alone.
    """
    for name, module in energy.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        weight = weights[f"{name}.weight"]
        if module.bias is not None:
            module.bias.copy_(weights[f"{name}.bias"])
        if not parametrize.is_parametrized(module):
            module.weight.copy_(weight)
            continue
        steps = module.get_submodule("parametrizations.weight")
        assert isinstance(steps, parametrize.ParametrizationList) and isinstance(steps.original, Tensor)
        steps.original.copy_(weight)
        module.train()
        for _ in range(POWER_ITERATIONS):  # each look at the weight is one
            norm = module.weight.norm()
        for step in steps:
            if isinstance(step, LearnedGain):
                step.gain.mul_(weight.norm() / norm)
