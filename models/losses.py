"""What an energy learns from: target pictures against chain ends, or the way back from noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.energy import EnergyFn, MultiscaleEnergy

Loss = Literal["logistic", "contrastive", "denoising"]


@dataclass(frozen=True)
class LossTerms:
    """The terms of one level's loss, each a scalar tensor; `loss` carries the graph."""

    loss: Tensor
    target_energy: Tensor
    chain_energy: Tensor
    penalty: Tensor


def adversarial_loss(
    energy: MultiscaleEnergy,
    target: Tensor,
    chain_end: Tensor,
    resolution: int,
    beta: float = 1.0,
    *,
    kind: Loss = "logistic",
    r1_weight: float = 0.0,
) -> LossTerms:
    """Target pictures go down, chain ends go up, (B, 3, H, W) both.

    logistic: mean softplus(E(target)) + mean softplus(-E(chain end)); the energy is then the log density ratio of
    chain ends and targets, and levels off once the two are told apart. contrastive: mean E(target) - mean E(chain
    end), the maximum-likelihood gradient of an energy model whose samples are the chain ends (Zhao, Xie, Li, ICLR
    2021). R1 (Mescheder et al., ICML 2018) is the squared norm of the gradient of E by all that the learned part
    reads, pixels and frozen features, per target picture; at weight 0 it is not computed and reported as NaN.
    """
    read = [part.requires_grad_(r1_weight > 0) for part in energy.embed(target.detach(), resolution, beta)]
    on_target = energy.from_embedding(read, resolution, beta)
    on_chain = energy.from_embedding(energy.embed(chain_end.detach(), resolution, beta), resolution, beta)
    if kind == "logistic":
        loss = F.softplus(on_target).mean() + F.softplus(-on_chain).mean()
    else:
        loss = on_target.mean() - on_chain.mean()
    penalty = on_target.new_full((), math.nan)
    if r1_weight > 0:
        gradients = torch.autograd.grad(on_target.sum(), read, create_graph=True)
        penalty = torch.stack([g.square().sum((1, 2, 3)).mean() for g in gradients]).sum()
        loss = loss + r1_weight * penalty
    return LossTerms(loss, on_target.mean(), on_chain.mean(), penalty)


def denoising_loss(energy: EnergyFn, clean: Tensor, noisy: Tensor, sigma: Tensor, scale: float) -> LossTerms:
    """Denoising score matching (Vincent, 2011): scale * dE/dx at the noisy picture should be noisy - clean.

    clean, noisy: (B, 3, H, W); sigma: (B, 1, 1, 1), the standard deviation of the noise, on the [-1, 1] scale; scale:
    the level's denoise_scale. The squared miss is divided by sigma^2 + 0.01, so that faint noise counts as well as
    loud. `chain_energy` is that of the noisy pictures; there is no penalty: the noise around the targets does its work.
    """
    noisy = noisy.detach().requires_grad_()
    on_noisy = energy(noisy)
    (gradient,) = torch.autograd.grad(on_noisy.sum(), noisy, create_graph=True)
    missed = (scale * gradient - (noisy - clean)).square() / (sigma.square() + 0.01)
    with torch.no_grad():
        on_clean = energy(clean).mean()
    return LossTerms(missed.mean(), on_clean, on_noisy.mean().detach(), missed.new_full((), math.nan))
