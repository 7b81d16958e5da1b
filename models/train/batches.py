"""What an update learns from: target pictures and chain ends, or targets with noise on them, level by level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.energy import EnergyFn, enlarged, pooled
from models.sampling import NoiseFn, measured_step_size, pyramid, sample, uniform_start
from models.schedule import Level, Schedule
from models.train.curriculum import Position, TrainingConfig
from models.train.data import ImageArray
from models.train.distributed import World
from models.transport import Transport


@dataclass(frozen=True)
class LevelBatch:
    """What one level learns from: pictures (B, 3, R, R) in [-1, 1]; see losses.py.

    end: where the chains ended, or the noisy targets; then sigma (B, 1, 1, 1) says how much noise that is.
    """

    level: Level
    target: Tensor
    end: Tensor
    sigma: Tensor | None = None


class Batches:
    """Draws batches. `source` None: chains start at noise. transport: where they go from their sources first.

    step_sizes: resolution -> the step size that was measured there, for levels that leave it to training. Every
    process draws the same joint batches and noise, and takes its slice.
    """

    def __init__(
        self,
        config: TrainingConfig,
        target: ImageArray,
        source: ImageArray | None,
        device: torch.device,
        world: World,
        transport: Transport | None = None,
    ) -> None:
        self.config, self.target, self.source, self.transport = config, target, source, transport
        self._device, self._world = device, world
        self.step_sizes: dict[int, float] = {}

    def schedule(self, level: int) -> Schedule:
        """The schedule up to a level, with the step sizes measured so far."""
        schedule = self.config.curriculum.schedule
        levels = [replace(v, step_size=v.step_size or self.step_sizes.get(v.resolution, 0.0)) for v in schedule.levels]
        return replace(schedule, levels=tuple(levels[: level + 1]))

    def chains(
        self, position: Position, energy_at: Callable[[int], EnergyFn]
    ) -> tuple[list[LevelBatch], float | Tensor]:
        """Targets and chain ends of each level reached; and how far the newest level's chains moved, mean squared."""
        config, share = self.config, self._world.share
        count = config.curriculum.phases[position.level].batch
        finest = config.curriculum.schedule.levels[position.level].resolution
        length = config.min_length + (config.max_length - config.min_length) * torch.rand(()).item()
        targets = self._noisy(self.target.batch(count, finest))
        target, noise = share(targets), self._noise(count)
        if self.source is None:
            sources, reference = None, targets.mean(dim=0, keepdim=True)
            start = share(uniform_start(count, self.schedule(position.level))).to(target)
        else:
            reference = share(self._noisy(self.source.batch(count, finest)))
            sources = pyramid(reference, self.schedule(position.level))
            # From the Gaussians' own faces, one-eyed and three-eyed too, an energy learns what a face must have.
            start = sources[0] if self.transport is None else self.transport(sources[0], typical=False)
        self._measure(position, energy_at, sources and [start, *sources[1:]], noise)
        schedule = replace(self.schedule(position.level).scaled(length), white_point=config.white_point)
        starts = sources or [start] * len(schedule.levels)
        ends = {level.resolution: begin for level, begin in zip(schedule.levels, starts, strict=True)}
        for state in sample(energy_at, schedule, start, sources, noise=noise):
            ends[state.resolution] = state.x
        drawn = [
            self._smoothed(LevelBatch(level, pooled(target, finest // level.resolution), ends[level.resolution]), noise)
            for level in schedule.levels
        ]
        return drawn, (ends[finest] - reference).square().mean()

    def noisy_targets(self, position: Position) -> tuple[list[LevelBatch], float | Tensor]:
        """As `chains`, with noise on the targets in the place of chains.

        On finer levels half of them are blurred first: a chain that comes from a coarser level looks like that.
        """
        share = self._world.share
        count = self.config.curriculum.phases[position.level].batch
        schedule = self.schedule(position.level)
        targets = self._noisy(self.target.batch(count, schedule.finest))
        drawn = []
        for number, level in enumerate(schedule.levels):
            target = pooled(targets, schedule.finest // level.resolution)
            blurred = enlarged(pooled(target, 2)) if number else target
            begin = torch.where(torch.rand(count, 1, 1, 1).to(target) < 0.5, blurred, target)
            sigma = torch.rand(count, 1, 1, 1).square()
            noisy = (begin + (sigma * torch.randn(target.shape)).to(target)).clamp(-1, 1)
            drawn.append(LevelBatch(level, share(target), share(noisy), share(sigma).to(target)))
        return drawn, (drawn[-1].end - drawn[-1].target).square().mean()

    def _measure(
        self, position: Position, energy_at: Callable[[int], EnergyFn], sources: list[Tensor] | None, noise: NoiseFn
    ) -> None:
        """Measure the step size of a level that has none, on this first batch."""
        level = self.schedule(position.level).levels[-1]
        if level.step_size:
            return
        if sources is None:
            raise ValueError("a level of chains from noise needs a step size")
        size = measured_step_size(energy_at(level.resolution), sources[position.level], level, noise)
        # What is averaged over processes is the length of a gradient, as over the pictures of one.
        inverse = torch.tensor(1 / size, dtype=torch.float64)
        self._world.average([inverse])
        self.step_sizes[level.resolution] = 1 / float(inverse)

    def _smoothed(self, batch: LevelBatch, noise: NoiseFn) -> LevelBatch:
        """The noise that chains are smoothed by, on both sides: all of it or a random part, half of the time each."""
        if not batch.level.smoothing:
            return batch
        part = torch.rand(()).item() if torch.rand(()) < 0.5 else 1.0
        sigma = max(self.config.data_noise, part * batch.level.smoothing)
        target, end = (x + sigma * noise(x) for x in (batch.target, batch.end))
        return replace(batch, target=target, end=end)

    def _noise(self, count: int) -> NoiseFn:
        """This process's slices of noise for a joint batch of `count` pictures, drawn on the device."""
        seed = int(torch.randint(2**62, ()))
        generator = torch.Generator(self._device).manual_seed(seed)
        return lambda x: self._world.share(
            torch.randn(count, *x.shape[1:], generator=generator, device=self._device, dtype=x.dtype)
        )

    def _noisy(self, x: Tensor) -> Tensor:
        noisy = (x + self.config.data_noise * torch.randn(x.shape)).clamp(-1, 1)
        return noisy.to(self._device).contiguous(memory_format=torch.channels_last)
