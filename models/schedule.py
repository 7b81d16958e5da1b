"""The schedule of a chain: its levels, coarse to fine, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.preconditioner import Scales

MAX_STRENGTH = 2.0
TRANSPORT_STEPS = 8  # pictures on the way; it is straight, so that more would only show it more finely


@dataclass(frozen=True)
class Level:
    """One resolution of the chain.

    resolution: short side in pixels. steps: at strength 1. step_size: what multiplies the preconditioned gradient; 0
    where training is yet to measure it, see `step_rms`. step_rms: how far a step moves pixels, RMS on the [-1, 1]
    scale: training sets the step size so that a new chain's steps are this long, and no step goes further than twice
    as far; 0 leaves steps as they come. momentum: 0 for plain steps; above, each step has RMS step_rms, falling to 0.3
    of it along the level, in the direction of a running mean of gradients with this decay. luma, chroma: scales of the
    preconditioner in pixels of this level. guide: epsilon of the guided filter that averages along the source's
    edges, see guided.GuidedFilter; 0 for plain windows. smoothing: sigma of the fresh noise that a gradient is taken
    at, on the [-1, 1] scale. jitter: pixels that it is shifted by at most, at random. temperature: sigma of the
    Langevin noise of a step, in mirror coordinates. denoise_scale: for energies that learned to denoise, how far down
    the gradient a noisy picture's clean one lies (Tweedie's formula); 0 for others.
    """

    resolution: int
    steps: int = 10
    step_size: float = 4.0
    step_rms: float = 0.0
    momentum: float = 0.0
    luma: Scales = ()
    chroma: Scales = ()
    guide: float = 0.0
    smoothing: float = 0.0
    jitter: int = 0
    temperature: float = 0.0
    denoise_scale: float = 0.0

    def __post_init__(self) -> None:
        if type(self.resolution) is not int or type(self.steps) is not int or type(self.jitter) is not int:
            raise ValueError("a level's resolution, steps and jitter are whole numbers")
        for name, low, high in (
            ("resolution", 8, 1024), ("steps", 0, 1000), ("step_size", 0, 1e6), ("step_rms", 0, 1),
            ("momentum", 0, 0.99), ("guide", 0, 10), ("smoothing", 0, 1), ("jitter", 0, 16), ("temperature", 0, 1),
            ("denoise_scale", 0, 1e5),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"a level's {name} must lie in {low}..{high}, not {getattr(self, name)}")
        if self.momentum and not self.step_rms:
            raise ValueError("a level with momentum needs a step_rms")
        for window, weight in (*self.luma, *self.chroma):
            if type(window) is not int or not 1 <= window <= 256 or not 0 <= weight <= 100:
                raise ValueError("a level's scales are windows of 1..256 px with weights in 0..100")

    @property
    def random(self) -> bool:
        """Whether a seed has a part in where its chains lead."""
        return self.smoothing > 0 or self.jitter > 0 or self.temperature > 0


@dataclass(frozen=True)
class Schedule:
    """Levels, coarse to fine, each twice as fine as the one before.

    white_point: how stiff white is, see sampling.mirror; above 1, the nearer to 1 the stiffer. gate: how firmly a faint
    change is dropped beside a strong one, in 0..1, see gate.gate_change; 0 for not at all. keep_color: the share of
    the source's own large colours that is kept, in 0..1, see gate.keep_colors. likeness: how alike source and result
    must be around a place for the source's fine detail to stay there, as a power, see detail.kept; 0 keeps all.
    transport: the share of the way that optimal transport takes the start, for models that have one, see transport.py.
    palette: the share of the way that the ends of levels go to the colours of the target's things, in 0..1, for models
    that have a palette, see palette.py.
    """

    levels: tuple[Level, ...]
    white_point: float = 1.05
    gate: float = 0.0
    keep_color: float = 0.0
    likeness: float = 0.0
    transport: float = 0.0
    palette: float = 0.0

    def __post_init__(self) -> None:
        if not self.levels:
            raise ValueError("a schedule needs at least one level")
        for coarse, fine in zip(self.levels, self.levels[1:], strict=False):
            if fine.resolution != 2 * coarse.resolution:
                raise ValueError("each level must be twice as fine as the one before")
        if not 1 < self.white_point <= 100:
            raise ValueError(f"white_point must lie in (1, 100], not {self.white_point}")
        if not 0 <= self.gate <= 1:
            raise ValueError(f"gate must lie in 0..1, not {self.gate}")
        if not 0 <= self.keep_color <= 1:
            raise ValueError(f"keep_color must lie in 0..1, not {self.keep_color}")
        if not 0 <= self.likeness <= 10:
            raise ValueError(f"likeness must lie in 0..10, not {self.likeness}")
        if not 0 <= self.transport <= 1:
            raise ValueError(f"transport must lie in 0..1, not {self.transport}")
        if not 0 <= self.palette <= 1:
            raise ValueError(f"palette must lie in 0..1, not {self.palette}")

    @property
    def random(self) -> bool:
        """Whether a seed has a part in where its chains lead."""
        return any(level.random for level in self.levels)

    @property
    def finest(self) -> int:
        """Resolution of the last level, in pixels."""
        return self.levels[-1].resolution

    @property
    def coarsest(self) -> int:
        """Resolution of the first level, in pixels."""
        return self.levels[0].resolution

    @property
    def counts(self) -> tuple[int, ...]:
        """The steps of a chain on each level, those of the transport on the first."""
        counts = [level.steps for level in self.levels]
        return (counts[0] + (TRANSPORT_STEPS if self.transport else 0), *counts[1:])

    @property
    def steps(self) -> int:
        """All steps of a chain."""
        return sum(self.counts)

    def up_to(self, resolution: int) -> Schedule:
        """The levels of at most `resolution` px."""
        return replace(self, levels=tuple(level for level in self.levels if level.resolution <= resolution))

    def one_pass(self, resolution: int) -> Schedule:
        """One step, on the level of this resolution, for what takes the place of a whole chain and what ends it."""
        levels = [replace(level, steps=int(level.resolution == resolution)) for level in self.up_to(resolution).levels]
        return replace(self, levels=tuple(levels), gate=0.0, transport=0.0, palette=0.0)

    def scaled(self, strength: float = 1.0, steps: int | None = None) -> Schedule:
        """Chains of `strength` x their length: strength x (`steps`, or the level's own) steps on each level that takes
        any, rounded; steps are longer or shorter by what rounding took. The transport goes `strength` of its way, at
        most to the end; with no steps at all it does not start. So with the palette.

        Raises ValueError where strength lies outside 0..2.
        """
        if not 0 <= strength <= MAX_STRENGTH:
            raise ValueError(f"strength must lie between 0 and {MAX_STRENGTH:g}, not {strength:g}")

        def fitted(level: Level) -> Level:
            wanted = strength * (steps if level.steps and steps is not None else level.steps)
            if wanted <= 0:
                return replace(level, steps=0)
            count = max(1, round(wanted))
            ratio = wanted / count
            rms = min(1.0, level.step_rms * ratio)
            return replace(level, steps=count, step_size=level.step_size * ratio, step_rms=rms)

        transport = 0.0 if steps == 0 else min(1.0, strength * self.transport)
        palette = min(1.0, strength * self.palette)
        return replace(self, levels=tuple(map(fitted, self.levels)), transport=transport, palette=palette)
