"""How a locator learns: it is shown pictures of both domains and has to say which is which."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from models.data import Domain
from models.locator import SIDE, Locator

STEPS = 1200  # some four minutes of one core
BATCH = 12  # pictures of each domain
LEARNING_RATE = 1e-3
WEIGHT = 4.0  # of the mean vote as the logit of a picture
FOCUS = 0.4  # for ladders whose chains have a locator, see Ladder
PICTURE_SIZE = 2 * SIDE * 9 // 8  # of training pictures, that the smallest crops are hardly enlarged
NEAREST = 0.2  # the smallest share of a picture's area that is shown: things come in all sizes
THRIFT = 0.02  # price of a vote: where nothing is to be told, a place had better abstain
_STRIDE = 0x9E3779B97F4A7C15 >> 1  # between the seeds of steps, so that those of nearby seeds do not meet


class LocatorLearner:
    """Teaches one locator two domains, step by step, on the CPU.

    What a step draws depends on the seed and its number alone, and torch's global generator stays as it was: whoever
    trains something beside it trains the same thing.
    """

    def __init__(self, source: Domain, target: Domain, *, seed: int = 0, steps: int = STEPS) -> None:
        self._domains, self._seed, self._steps = (source, target), seed, steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.locator: Locator = Locator().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(self.locator.parameters(), weight_decay=1e-2)

    def step(self, number: int) -> float:
        """Update number `number`, from 0. Returns the share of the batch's pictures that were told apart."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self._seed + (number + 1) * _STRIDE) % 2**63)
            pictures = torch.cat([domain.batch(BATCH, SIDE, nearest=NEAREST) for domain in self._domains])
        votes = self.locator.train()(pictures.contiguous(memory_format=torch.channels_last))
        side = torch.tensor([1.0, -1.0]).repeat_interleave(BATCH)
        logits = side * WEIGHT * votes.mean(dim=(1, 2))
        loss = F.softplus(-logits).mean() + THRIFT * votes.abs().mean()
        for group in self.optimiser.param_groups:
            group["lr"] = LEARNING_RATE * (0.01 + 0.99 * math.cos(math.pi / 2 * min(1.0, number / self._steps)) ** 2)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.locator.parameters(), 1.0)
        self.optimiser.step()
        return float((logits > 0).float().mean())
