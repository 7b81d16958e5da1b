"""The sampler: one coarse-to-fine chain for translation, generation, inpainting and training.

A chain starts at a picture and goes downhill. Its steps are taken in MIRROR coordinates (Nemirovski & Yudin, 1983;
mirrored Langevin dynamics: Hsieh et al., NeurIPS 2018),

    z <- z - step_size * P grad E(x + s n) [+ temperature * N(0, I)],        z = mirror(x),

which stretch towards white: the nearer a pixel is to white, the less it moves, so that white backgrounds stay white.
P is the preconditioner. n is fresh noise: the gradient of a smoothed energy has no speckle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.detail import carried
from models.energy import EnergyFn, energy_and_grad, enlarged, pooled
from models.guided import GuidedScales
from models.preconditioner import Smoothing, precondition
from models.scene import Scene
from models.schedule import TRANSPORT_STEPS, Level, Schedule
from models.transport import Transport

NoiseFn = Callable[[Tensor], Tensor]  # a tensor -> standard normal noise that fits it
Hook = Callable[[Tensor, int], Tensor]  # pictures after a step, resolution -> the same, changed

FALL = 0.7  # share that steps with momentum lose along a level


@dataclass(frozen=True)
class ChainState:
    """One step of a chain.

    x: pictures AFTER the step, (B, 3, h, w) in [-1, 1]. energy: of the pictures BEFORE it, (B,), which the gradient
    gives for nothing. resolution: of the level. index: of the step; it counts from 0 on each level.
    """

    x: Tensor
    energy: Tensor
    resolution: int
    index: int


def mirror(x: Tensor, white_point: float) -> Tensor:
    """Pixels -> mirror coordinates: x / sqrt(1 - (x / white_point)^2) where x > 0, x elsewhere.

    The dark half stays as it is: the empty channels of a saturated colour must be free to fill.
    """
    light = x.clamp(min=0) / white_point
    return torch.where(x > 0, x / torch.sqrt(1 - light.square()), x)


def inverse_mirror(z: Tensor, white_point: float) -> Tensor:
    """Mirror coordinates -> pixels, below `white_point`."""
    light = z.clamp(min=0) / white_point
    return torch.where(z > 0, z / torch.sqrt(1 + light.square()), z)


def shared_noise(generator: torch.Generator) -> NoiseFn:
    """One draw for all pictures of a batch, on the CPU: a picture's result depends on its seed alone, not on the
    pictures beside it nor on the device."""
    return lambda x: torch.randn(1, *x.shape[1:], generator=generator).to(x)


def sample(
    energy_at: Callable[[int], EnergyFn],
    schedule: Schedule,
    start: Tensor,
    sources: Sequence[Tensor] | None = None,
    *,
    transport: Transport | None = None,
    finish: Hook | None = None,
    hooks: Sequence[Hook] = (),
    noise: NoiseFn = torch.randn_like,
    generator: torch.Generator | None = None,
) -> Iterator[ChainState]:
    """The coarse-to-fine chain: all levels of the schedule, one after the other.

    energy_at: resolution -> energy. start: pictures at the coarsest resolution, (B, 3, h, w) in [-1, 1]. sources: the
    source pictures at each level's resolution: what a level has reached is carried up with their finer detail, see
    detail.carried. Without sources the pictures alone are carried up. transport: what puts another thing in the place
    of the sources' own, as far as the schedule says, before the first level's own steps, see scene.py; it needs
    sources. finish: called after the last step of each level, such as Palette.toward; hooks: after every step. noise:
    draws for smoothing and temperature. generator: of the shifts; torch's global one by default. Keeps no graph;
    `start` is not changed.
    """
    x, before, scene = start, 0, None
    if transport is not None and sources is not None and schedule.transport:
        scene = Scene.of(sources, transport, schedule.transport)
        sources = scene.sources
        for state in _transported(energy_at(schedule.coarsest), schedule, start, scene.start, hooks):
            yield state
            x, before = state.x, state.index + 1
    for number, level in enumerate(schedule.levels):
        if number:
            before = 0
            if sources is None:
                x = enlarged(x)
            else:
                missing = scene.missing(x) if number == 1 and scene is not None else None
                x = carried(x, sources[number - 1], sources[number], schedule.likeness, missing)
        energy, momentum = energy_at(level.resolution), Momentum(level)
        smooth = None
        if sources is not None and level.guide and level.steps:
            smooth = _along_edges(level, sources[number])
        for index in range(level.steps):
            energies, gradient = smoothed_grad(energy, x, level, noise, generator)
            step = momentum.step(precondition(gradient, level.luma, level.chroma, smooth), index)
            z = mirror(x, schedule.white_point) - (step if scene is None else scene.kept(step))
            if level.temperature:
                z = z + level.temperature * noise(z)
            x = inverse_mirror(z, schedule.white_point).clamp(-1, 1)
            if index + 1 == level.steps:
                x = x if scene is None else scene.finished(x, level.resolution)
                x = x if finish is None else finish(x, level.resolution)
            for hook in hooks:
                x = hook(x, level.resolution)
            yield ChainState(x, energies, level.resolution, before + index)


def _transported(
    energy: EnergyFn, schedule: Schedule, start: Tensor, end: Tensor, hooks: Sequence[Hook]
) -> Iterator[ChainState]:
    """The straight way from start to end, as far as the schedule goes it, in equal steps."""
    x = start
    for index in range(TRANSPORT_STEPS):
        with torch.no_grad():
            energies = energy(x)
        x = torch.lerp(start, end, schedule.transport * (index + 1) / TRANSPORT_STEPS)
        for hook in hooks:
            x = hook(x, schedule.coarsest)
        yield ChainState(x, energies, schedule.coarsest, index)


def _along_edges(level: Level, source: Tensor) -> Smoothing:
    """Windows that end where the source has an edge: colours must not spill from a fruit."""
    windows = {window for window, _ in (*level.luma, *level.chroma) if window > 1}
    return GuidedScales(source, windows, level.guide)


def smoothed(x: Tensor, level: Level, noise: NoiseFn) -> Tensor:
    """x + s n: where the energy of a chain's step is asked."""
    return x + level.smoothing * noise(x) if level.smoothing else x


def smoothed_grad(
    energy: EnergyFn, x: Tensor, level: Level, noise: NoiseFn, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Energies and gradients at x + s n, shifted by a few pixels at random: neither depends on the trunk's grid."""
    x = smoothed(x, level, noise)
    if not level.jitter:
        return energy_and_grad(energy, x)
    down, right = torch.randint(-level.jitter, level.jitter + 1, (2,), generator=generator).tolist()
    energies, gradient = energy_and_grad(energy, x.roll((down, right), (2, 3)))
    return energies, gradient.roll((-down, -right), (2, 3))


class Momentum:
    """From preconditioned gradients to steps, as the level says. Keeps the running means of one level."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self._mean: Tensor | None = None
        self._square: Tensor | None = None

    def step(self, gradient: Tensor, index: int) -> Tensor:
        """What is to be subtracted, (B, 3, h, w), in mirror coordinates."""
        level = self._level
        if level.momentum:
            return self._with_momentum(gradient, index)
        step = level.step_size * gradient
        if level.step_rms:
            step = step * (2 * level.step_rms / rms(step).clamp_min(2 * level.step_rms))
        return step

    def _with_momentum(self, gradient: Tensor, index: int) -> Tensor:
        """Adam's step (Kingma & Ba, ICLR 2015) with one scale for a whole picture."""
        level, slow = self._level, 0.95
        unit = gradient / rms(gradient).clamp_min(1e-12)
        before = torch.zeros_like(unit) if self._mean is None else self._mean
        square = torch.zeros_like(unit) if self._square is None else self._square
        self._mean = level.momentum * before + (1 - level.momentum) * unit
        self._square = slow * square + (1 - slow) * unit.square()
        mean = self._mean / (1 - level.momentum ** (index + 1))
        scale = (self._square / (1 - slow ** (index + 1))).mean((1, 2, 3), keepdim=True).sqrt()
        return level.step_rms * (1 - FALL * index / level.steps) * mean / scale.clamp_min(1e-8)


def rms(x: Tensor) -> Tensor:
    """Root of the mean square of each picture, (B, 1, 1, 1)."""
    return x.square().mean((1, 2, 3), keepdim=True).sqrt()


def pyramid(x: Tensor, schedule: Schedule) -> list[Tensor]:
    """Pictures (B, 3, H, W) at the finest resolution -> at each level's."""
    return [pooled(x, schedule.finest // level.resolution) for level in schedule.levels]


def uniform_start(count: int, schedule: Schedule, generator: torch.Generator | None = None) -> Tensor:
    """Where chains from noise begin: (count, 3, R, R) uniform in [-1, 1], R the coarsest resolution."""
    side = schedule.coarsest
    return 2 * torch.rand(count, 3, side, side, generator=generator) - 1


def follow(steps: Iterator[ChainState], start: Tensor) -> Tensor:
    """Where a chain ends; `start` where it takes no step."""
    end = start
    for state in steps:
        end = state.x
    return end


def measured_step_size(
    energy: EnergyFn, x: Tensor, level: Level, noise: NoiseFn, generator: torch.Generator | None = None
) -> float:
    """The step size at which the first step from pictures x has the level's RMS, with plain windows in the place of
    guided ones."""
    _, gradient = smoothed_grad(energy, x, level, noise, generator)
    length = float(rms(precondition(gradient, level.luma, level.chroma)).mean())
    return level.step_rms / length if length > 0 and math.isfinite(length) else 1.0
