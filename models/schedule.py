"""Coarse to fine: which resolutions, how many steps on each, and how training climbs from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

MAX_STRENGTH = 2.0


@dataclass(frozen=True)
class Stage:
    """One resolution of the chain: `steps` downhill steps of size `step_size` on pictures of `resolution` px.

    walk: for energies that learned the way back from noise, how far down the slope a noisy picture's clean one lies; 0
    for the others. noise: standard deviation, on the [-1, 1] scale, of the Gaussian noise that the stage lays on the
    state where it begins and whose place new texture takes; needs a walk (see langevin.renew).
    """

    resolution: int
    steps: int = 10
    step_size: float = 4.0
    walk: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if type(self.resolution) is not int or type(self.steps) is not int:
            raise ValueError("a stage's resolution and steps are whole numbers")
        if not 8 <= self.resolution <= 1024:
            raise ValueError(f"a stage's resolution must lie in 8..1024 px, not {self.resolution}")
        if not 0 <= self.steps <= 1000:
            raise ValueError(f"a stage takes 0 to 1000 steps, not {self.steps}")
        if not 0 < self.step_size <= 1000:
            raise ValueError(f"the step size must lie in (0, 1000], not {self.step_size}")
        if not 0 <= self.walk <= 100_000:
            raise ValueError(f"a stage's walk must lie in 0..100000, not {self.walk}")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"a stage's noise must lie in 0..1, not {self.noise}")
        if self.noise and not self.walk:
            raise ValueError("only a model that learned the way back from noise can lay noise on a picture")


@dataclass(frozen=True)
class Ladder:
    """The coarse-to-fine chain: its stages, coarse first, each twice as fine as the one before.

    reach: how stiff white is (see langevin.py). noise: standard deviation of the Gaussian noise of a step, in tones; 0
    makes the chain a deterministic descent. shade: the brightness, in 0..1, below which a pixel of the source takes
    shorter steps, see langevin.light; focus: how firmly faint changes are dropped beside strong ones, in 0..1, see
    langevin.focused. Both are for use, not for training, and 0 is none. bend: how readily the shapes of a source move
    beside its colours, in 0..10; 0 is not at all, see langevin.bending.
    """

    stages: tuple[Stage, ...]
    reach: float = 1.01
    noise: float = 0.0
    shade: float = 0.0
    focus: float = 0.0
    bend: float = 0.0

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("a ladder needs at least one stage")
        for coarse, fine in zip(self.stages, self.stages[1:], strict=False):
            if fine.resolution != 2 * coarse.resolution:
                raise ValueError("each stage must be twice as fine as the one before")
        if not 1 < self.reach <= 10:
            raise ValueError(f"reach must lie in (1, 10], not {self.reach}")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise must lie in 0..1, not {self.noise}")
        if not 0 <= self.shade <= 1:
            raise ValueError(f"shade must lie in 0..1, not {self.shade}")
        if not 0 <= self.focus <= 1:
            raise ValueError(f"focus must lie in 0..1, not {self.focus}")
        if not 0 <= self.bend <= 10:
            raise ValueError(f"bend must lie in 0..10, not {self.bend}")

    @property
    def random(self) -> bool:
        """Whether a seed decides where its chains lead."""
        return self.noise > 0 or any(stage.noise > 0 for stage in self.stages)

    @property
    def finest(self) -> int:
        """Resolution of the last stage, in pixels."""
        return self.stages[-1].resolution

    @property
    def coarsest(self) -> int:
        """Resolution of the first stage, in pixels."""
        return self.stages[0].resolution

    def up_to(self, resolution: int) -> Ladder:
        """The ladder's lower end, with stages of at most `resolution` px."""
        return replace(self, stages=tuple(s for s in self.stages if s.resolution <= resolution))

    def with_steps(self, strength: float = 1.0, steps: int | None = None) -> Ladder:
        """The ladder with chains of strength x their length: strength x (`steps`, or its own steps) on each that takes
        any, rounded, and steps longer or shorter by what rounding took; with strength x the noise, too, that they are
        to take away.

        Raises ValueError where strength lies outside 0..2.
        """
        if not 0 <= strength <= MAX_STRENGTH:
            raise ValueError(f"strength must lie between 0 and {MAX_STRENGTH:g}, not {strength:g}")

        def fitted(stage: Stage) -> Stage:
            wanted = strength * (steps if stage.steps and steps is not None else stage.steps)
            if wanted <= 0:
                return replace(stage, steps=round(wanted), noise=0.0)
            count = max(1, round(wanted))
            step_size = stage.step_size * wanted / count
            return replace(stage, steps=count, step_size=step_size, noise=min(1.0, strength * stage.noise))

        return replace(self, stages=tuple(map(fitted, self.stages)))


def ladder_from_dict(data: Mapping[str, Any]) -> Ladder:
    """The inverse of dataclasses.asdict. Raises KeyError, TypeError or ValueError where `data` is no ladder."""
    stages = tuple(Stage(**stage) for stage in data["stages"])
    return Ladder(**{**data, "stages": stages})


@dataclass(frozen=True)
class Phase:
    """How training spends its time on one stage: `iterations` updates on batches of `batch` pictures."""

    iterations: int
    batch: int
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.batch < 1:
            raise ValueError("a phase needs at least one iteration and one picture a batch")


@dataclass(frozen=True)
class Position:
    """Where an iteration stands: index of the newest stage, and the beta it is faded in with."""

    stage: int
    beta: float


@dataclass(frozen=True)
class Curriculum:
    """The ladder to climb and one phase for each of its stages."""

    ladder: Ladder
    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if len(self.phases) != len(self.ladder.stages):
            raise ValueError("a curriculum needs one phase for each stage")

    @property
    def iterations(self) -> int:
        """Length of the whole training, in updates."""
        return sum(phase.iterations for phase in self.phases)

    def at(self, iteration: int) -> Position:
        """The position of an iteration, counted from 0. The last phase goes on without end.

        beta rises from 0 to 1 over the first half of a phase; the first phase has nothing to fade from.
        """
        start = 0
        for stage, phase in enumerate(self.phases):
            if iteration < start + phase.iterations or stage == len(self.phases) - 1:
                break
            start += phase.iterations
        beta = 1.0 if stage == 0 else min(1.0, 2 * (iteration - start) / phase.iterations)
        return Position(stage, beta)

    def learning_rate(self, iteration: int) -> float:
        """That of the phase; in the last one it falls linearly to a twentieth, once the stage is wholly faded in."""
        position = self.at(iteration)
        phase = self.phases[position.stage]
        if position.stage < len(self.phases) - 1:
            return phase.learning_rate
        left = max(0.0, 2 * (self.iterations - iteration) / phase.iterations)
        return phase.learning_rate * min(1.0, 0.05 + 0.95 * left)
