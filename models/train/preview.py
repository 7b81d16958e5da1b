"""What a model under training makes of fixed pictures, at the size of its training pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.detail import carried
from models.gate import gate_change
from models.model import Model
from models.sampling import follow, pyramid, sample, shared_noise, uniform_start

AT_ONCE = 16  # pictures, so that fine levels fit into memory


def translated(model: Model, sources: Tensor, *, seed: int) -> Tensor:
    """Sources (N, 3, S, S) in [-1, 1], translated by the model's own chain: the same shape, on the CPU.

    What a chain that does not reach S px yet makes is carried on to it, S a power of two times its own size.
    """
    schedule = model.config.schedule.scaled(model.config.strength)
    generator = torch.Generator().manual_seed(seed)
    made = []
    for start in sources.to(model.device).split(AT_ONCE):
        levels = pyramid(F.avg_pool2d(start, start.shape[-1] // schedule.finest), schedule)
        evidence = model.evidence(levels, schedule)
        finish = model.finish(levels, evidence, schedule)
        chain = sample(
            model.energy.at, schedule, levels[0], levels,
            transport=model.transport, finish=finish, noise=shared_noise(generator), generator=generator,
        )  # fmt: skip
        low, end = levels[-1], follow(chain, levels[-1])
        if evidence is not None:
            end = gate_change(low, end, schedule.gate, evidence[-1])
        while end.shape[-1] < start.shape[-1]:
            finer = F.avg_pool2d(start, start.shape[-1] // (2 * end.shape[-1]))
            low, end = finer, carried(end, low, finer, schedule.likeness)
        made.append(end.cpu())
    return torch.cat(made)


def from_noise(model: Model, count: int, size: int, *, seed: int) -> Tensor:
    """`count` pictures by chains from fixed noise, enlarged to `size` px where they do not reach so far: on the CPU."""
    schedule = model.config.schedule.scaled(model.config.strength)
    generator = torch.Generator().manual_seed(seed)
    made = []
    for start in uniform_start(count, schedule, generator).to(model.device).split(AT_ONCE):
        chain = sample(model.energy.at, schedule, start, noise=shared_noise(generator), generator=generator)
        made.append(_resized(follow(chain, start), size).cpu())
    return torch.cat(made)


def _resized(x: Tensor, size: int) -> Tensor:
    return x if x.shape[-1] == size else F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
