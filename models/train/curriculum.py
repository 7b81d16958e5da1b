"""How training grows from coarse to fine, and all settings of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from models.config import Upsampling
from models.gate import SIDE as PROBE_SIDE
from models.losses import Loss
from models.schedule import Level, Schedule
from models.terms.pixels import PixelConfig
from models.terms.votes import VotesConfig


@dataclass(frozen=True)
class Phase:
    """How training spends its time on one level: `iterations` updates on batches of `batch` pictures.

    r1_weight: of the gradient penalty of the level's loss.
    """

    iterations: int
    batch: int
    learning_rate: float = 1e-3
    r1_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.batch < 1:
            raise ValueError("a phase needs at least one iteration and one picture a batch")


@dataclass(frozen=True)
class Position:
    """Where an iteration stands: index of the newest level, and the beta it is faded in with."""

    level: int
    beta: float


@dataclass(frozen=True)
class Curriculum:
    """The schedule to learn and one phase for each of its levels."""

    schedule: Schedule
    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if len(self.phases) != len(self.schedule.levels):
            raise ValueError("a curriculum needs one phase for each level")

    @property
    def iterations(self) -> int:
        """Length of the whole training, in updates."""
        return sum(phase.iterations for phase in self.phases)

    def at(self, iteration: int) -> Position:
        """The position of an iteration, counted from 0. The last phase goes on without end.

        beta rises from 0 to 1 over the first half of a phase; the first phase has nothing to fade from.
        """
        start = 0
        for level, phase in enumerate(self.phases):
            if iteration < start + phase.iterations or level == len(self.phases) - 1:
                break
            start += phase.iterations
        beta = 1.0 if level == 0 else min(1.0, 2 * (iteration - start) / phase.iterations)
        return Position(level, beta)

    def learning_rate(self, iteration: int) -> float:
        """That of the phase; in the last one it falls linearly to a twentieth, once the level is wholly faded in."""
        position = self.at(iteration)
        phase = self.phases[position.level]
        if position.level < len(self.phases) - 1:
            return phase.learning_rate
        left = max(0.0, 2 * (self.iterations - iteration) / phase.iterations)
        return phase.learning_rate * min(1.0, 0.05 + 0.95 * left)


@dataclass(frozen=True)
class TrainingConfig:
    """How one energy is trained; with the pictures and the seed, it determines the result on a given machine.

    white_point: that of the training chains, softer than the schedule's own, which is for use: an energy that learns
    with stiff whites pushes the harder against them, and tints them all the same. r1_every: iterations between two
    updates that look at the gradient penalty. data_noise: standard deviation of the noise on target and source
    pictures, on the [-1, 1] scale. min_length, max_length: the steps of a training chain are the schedule's times a
    number drawn from this range, so that the energy also learns where long chains lead. ema: decay of the averaged
    weights per iteration. sheet_every: iterations between sample sheets. bfloat16_up_to: the finest resolution whose
    training chains run in bfloat16; 0 for none. steps_at_use: of each level of the model that comes of it; empty: as
    many as in training. Short chains teach an energy more, since it can tell where they end from targets; long ones go
    all the way. stretch_at_use: how many times longer its steps are than in training. texture: the level beyond those,
    whose energy is fitted to the targets and not learned, see terms/textured.py; None for no such level. strength,
    upsampling: of that model, too.
    """

    energy: PixelConfig | VotesConfig
    curriculum: Curriculum
    loss: Loss = "logistic"
    seed: int = 0
    white_point: float = 1.15
    r1_every: int = 1
    data_noise: float = 0.01
    min_length: float = 0.75
    max_length: float = 1.5
    gradient_clip: float = 1.0
    ema: float = 0.98
    sheet_every: int = 100
    bfloat16_up_to: int = 0
    steps_at_use: tuple[int, ...] = ()
    stretch_at_use: float = 1.0
    texture: Level | None = None
    strength: float = 1.0
    upsampling: Upsampling = field(default_factory=Upsampling)

    def __post_init__(self) -> None:
        if self.loss == "denoising" and not all(level.denoise_scale for level in self.curriculum.schedule.levels):
            raise ValueError("to learn the way back from noise, every level needs a denoise_scale")
        if self.steps_at_use and len(self.steps_at_use) != len(self.curriculum.schedule.levels):
            raise ValueError("steps_at_use needs one number for each level")
        learned = self.curriculum.schedule.finest
        if self.texture is not None and self.texture.resolution != 2 * learned:
            raise ValueError("a texture's level must be twice as fine as the last one that is learned")

    def at_use(self, schedule: Schedule) -> Schedule:
        """The first levels of a trained schedule with their steps at use; behind the last of them, the texture's."""
        steps = self.steps_at_use or tuple(level.steps for level in schedule.levels)
        levels = [
            replace(level, steps=count, step_size=self.stretch_at_use * level.step_size)
            for level, count in zip(schedule.levels, steps, strict=False)
        ]
        if self.texture is not None and len(levels) == len(self.curriculum.phases):
            levels.append(self.texture)
        return replace(schedule, levels=tuple(levels))

    @property
    def picture_size(self) -> int:
        """Side of the training pictures in pixels: an eighth more than those of samples, for random crops, and no less
        than the probe looks at: it must know photos as they will come."""
        return max(self.sample_size * 9 // 8, PROBE_SIDE)

    @property
    def sample_size(self) -> int:
        """Side of the whole pictures that samples are made from, in pixels."""
        return self.texture.resolution if self.texture is not None else self.curriculum.schedule.finest


def config_from_dict(data: Mapping[str, Any]) -> TrainingConfig:
    """The inverse of dataclasses.asdict. Raises ValueError where `data` is no such config."""
    try:
        return TypeAdapter(TrainingConfig).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def same_settings(saved: Mapping[str, Any], config: TrainingConfig) -> bool:
    """Whether settings that a state was saved with are these."""
    try:
        return config_from_dict(saved) == config
    except ValueError:
        return False
