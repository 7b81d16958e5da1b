"""What a model under training makes of fixed pictures, at the size of its training pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.detail import carried
from models.energy import EnergyFn
from models.gate import DomainProbe, gate_change
from models.sampling import follow, pyramid, sample, shared_noise, uniform_start
from models.schedule import Schedule
from models.transport import Transport

AT_ONCE = 16  # pictures, so that fine levels fit into memory

EnergyAt = Callable[[int], EnergyFn]


def translated(
    energy_at: EnergyAt,
    schedule: Schedule,
    sources: Tensor,
    probe: DomainProbe | None,
    transport: Transport | None = None,
    *,
    seed: int,
    device: torch.device,
) -> Tensor:
    """Sources (N, 3, S, S) in [-1, 1], translated by the schedule: the same shape, on the CPU.

    What a chain that does not reach S px yet makes is carried on to it, S a power of two times its own size.
    """
    generator = torch.Generator().manual_seed(seed)
    made = []
    for start in sources.to(device).split(AT_ONCE):
        levels = pyramid(F.avg_pool2d(start, start.shape[-1] // schedule.finest), schedule)
        chain = sample(
            energy_at, schedule, levels[0], levels,
            transport=transport, noise=shared_noise(generator), generator=generator,
        )  # fmt: skip
        low, end = levels[-1], follow(chain, levels[-1])
        if probe is not None:
            end = gate_change(low, end, schedule.gate, probe.evidence(low))
        while end.shape[-1] < start.shape[-1]:
            finer = F.avg_pool2d(start, start.shape[-1] // (2 * end.shape[-1]))
            low, end = finer, carried(end, low, finer, schedule.likeness)
        made.append(end.cpu())
    return torch.cat(made)


def from_noise(
    energy_at: EnergyAt, schedule: Schedule, count: int, size: int, *, seed: int, device: torch.device
) -> Tensor:
    """`count` pictures by chains from fixed noise, enlarged to `size` px where they do not reach so far: on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for start in uniform_start(count, schedule, generator).to(device).split(AT_ONCE):
        chain = sample(energy_at, schedule, start, noise=shared_noise(generator), generator=generator)
        made.append(_resized(follow(chain, start), size).cpu())
    return torch.cat(made)


def _resized(x: Tensor, size: int) -> Tensor:
    return x if x.shape[-1] == size else F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
