"""What the energy learns from: the contrast of target pictures with chain ends, or the way back from noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.energy import EnergyFunction

VISIBLE = 0.1  # RMS difference, on the [-1, 1] scale, from which on two pictures are worth ranking


@dataclass(frozen=True)
class Contrast:
    """The terms of one stage's loss, each a scalar tensor; `loss` carries the graph."""

    loss: Tensor
    target_energy: Tensor
    chain_energy: Tensor
    penalty: Tensor


def contrast(
    energy: EnergyFunction,
    target: Tensor,
    chain_end: Tensor,
    penalty_weight: float = 0.0,
    overshot: Tensor | None = None,
    overshoot_weight: float = 0.0,
) -> Contrast:
    """mean E(target) - mean E(chain end) + weight * R1 + weight * mean v log(1 + exp(E(target) - E(overshot))).

    target, chain_end, overshot: (B, 3, H, W), the last two without a graph. The difference is the maximum-likelihood
    gradient of an energy model whose samples are the chain ends (Zhao, Xie, Li, ICLR 2021). R1 = the squared norm of
    dE/dx per target picture, averaged (Mescheder et al., ICML 2018); it keeps the slopes finite, so that chains of a
    fixed step size stay calm. At weight 0 it is not computed and reported as NaN: it costs as much as all the rest.

    overshot: each target picture, moved by the change that a chain has made to some source picture. It ranks above the
    picture it comes from (the pairwise logistic loss of Burges et al., ICML 2005), which tells the energy WHERE a
    change belongs: what is orange already must not go on to yellow, and a grey ground not turn warm. The loss levels
    off once the order is right; as a plain difference it makes the energy steep without bound. So would the ranking of
    pictures that hardly differ: v = d^2 / (d^2 + VISIBLE^2), with d the RMS difference of the two, lets those go.
    """
    target = target.detach().requires_grad_(penalty_weight > 0)
    target_energies = energy(target)
    target_energy, chain_energy = target_energies.mean(), energy(chain_end.detach()).mean()
    loss, penalty = target_energy - chain_energy, target_energy.new_full((), math.nan)
    if overshot is not None and overshoot_weight > 0:
        moved = (overshot - target).detach().square().mean(dim=(1, 2, 3))
        ranked = F.softplus(target_energies - energy(overshot.detach()))
        loss = loss + overshoot_weight * (ranked * moved / (moved + VISIBLE**2)).mean()
    if penalty_weight > 0:
        (slope,) = torch.autograd.grad(target_energies.sum(), target, create_graph=True)
        penalty = slope.square().sum(dim=(1, 2, 3)).mean()
        loss = loss + penalty_weight * penalty
    return Contrast(loss, target_energy, chain_energy, penalty)


def denoising(energy: EnergyFunction, clean: Tensor, noisy: Tensor, sigma: Tensor, walk: float) -> Contrast:
    """Denoising score matching (Vincent, 2011): walk * dE/dx at the noisy picture should be noisy - clean.

    clean, noisy: (B, 3, H, W); sigma: (B, 1, 1, 1), the standard deviation of the noise, on the [-1, 1] scale; walk:
    how far down the slope the clean picture is to lie. The squared miss is divided by sigma^2 + 0.01, so that faint
    noise counts as well as loud. The `chain_energy` of the result is that of the noisy pictures; there is no penalty:
    the noise around the targets does its work.
    """
    noisy = noisy.detach().requires_grad_()
    noisy_energies = energy(noisy)
    (slope,) = torch.autograd.grad(noisy_energies.sum(), noisy, create_graph=True)
    missed = (walk * slope - (noisy - clean)).square() / (sigma.square() + 0.01)
    with torch.no_grad():
        clean_energy = energy(clean).mean()
    return Contrast(missed.mean(), clean_energy, noisy_energies.mean().detach(), missed.new_full((), math.nan))
