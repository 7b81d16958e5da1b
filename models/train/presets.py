"""Ready-made trainings: things on the trunk, coarse to fine; pictures of nothing, likewise; and energies from scratch,
as in the paper."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.config import Upsampling
from models.preconditioner import Scales
from models.schedule import Level, Schedule
from models.terms.pixels import PixelConfig
from models.terms.votes import VotesConfig
from models.train.curriculum import Curriculum, Phase, TrainingConfig

RESOLUTIONS = (64, 128, 256)

SEEN_AT = 128  # px: the trunk knows whole things at this size and hardly at 64 px


@dataclass(frozen=True)
class _Kind:
    """What sets trainings of one kind of thing apart, by level.

    luma, chroma: windows in pixels of each level. gate: how firmly the ground is kept, see gate.gate_change.
    upsampling: see config.Upsampling; a smaller epsilon takes more of the source's detail away. guide: see
    schedule.Level. likeness, transport, palette: see schedule.Schedule. texture: the level that is not learned, see
    terms/textured.py.
    """

    steps: dict[int, int]
    steps_at_use: dict[int, int]
    step_rms: dict[int, float]
    luma: dict[int, Scales]
    chroma: dict[int, Scales]
    learning_rate: float
    upsampling: Upsampling
    iterations: dict[int, int]
    batch: dict[int, int]
    texture: Level
    guide: float = 0.0
    likeness: float = 0.0
    gate: float = 0.0
    transport: float = 0.0
    palette: float = 0.0


# Things whose colours change more than their shapes. Colours change over a sixteenth to an eighth of a picture,
# whatever the level, and end where the source has an edge. Peel is a texture.
_COLORS = _Kind(
    steps={64: 10, 128: 12},
    steps_at_use={64: 36, 128: 24},
    step_rms={64: 0.03, 128: 0.03},
    luma={
        64: ((4, 0.1), (16, 0.4)),
        128: ((2, 0.1), (4, 0.3), (8, 0.3), (16, 0.3)),
    },
    chroma={64: ((8, 0.8), (16, 0.8)), 128: ((16, 0.8), (32, 0.8))},
    learning_rate=7e-4,
    gate=0.35,
    upsampling=Upsampling(luma=1.0, chroma=0.0, radius=5, epsilon=0.1),
    iterations={64: 300, 128: 200},
    batch={64: 8, 128: 8},
    guide=0.05,
    palette=1.0,
    texture=Level(256, steps=8, step_rms=0.009, momentum=0.8, luma=((1, 1.0),), smoothing=0.08, jitter=2),
)
# Things whose shapes change. Optimal transport at 32 px turns a cat's blots into a dog's; every level adds what is
# finer than the one before could show, in small windows: those of a quarter of a picture make it bright or dark as a
# whole. Chains are short and gentle, so that the energy stays able to tell what was painted from the target. What is
# left of the source's own detail lies over the new face, so that it stays only where nothing changed. Fur is a texture.
_SHAPES = _Kind(
    steps={32: 10, 64: 10, 128: 10},
    steps_at_use={32: 10, 64: 8, 128: 6},
    step_rms={32: 0.015, 64: 0.015, 128: 0.015},
    luma={
        32: ((2, 0.15), (4, 0.7), (8, 0.7)),
        64: ((2, 0.3), (4, 0.7), (8, 0.5)),
        128: ((1, 0.1), (2, 0.4), (4, 0.7), (8, 0.5)),
    },
    chroma={32: ((4, 0.03),), 64: ((8, 0.03),), 128: ((16, 0.03),)},
    learning_rate=1e-3,
    upsampling=Upsampling(radius=5, epsilon=0.02),  # all of the new face; of the old one's colours none
    iterations={32: 120, 64: 240, 128: 150},
    batch={32: 8, 64: 8, 128: 8},
    likeness=7.0,
    transport=1.0,
    texture=Level(
        256, steps=12, step_rms=0.014, momentum=0.8, luma=((1, 0.3), (2, 1.0), (4, 1.0)), smoothing=0.08, jitter=2
    ),
)


def things(finest: int = 128, seed: int = 0, shapes: bool = False) -> TrainingConfig:
    """One kind of thing into another, on the trunk: `finest` 64, 128 or 256 px. Raises ValueError for others.

    shapes: for things that differ in shape more than in colour, such as faces.
    """
    _check(finest)
    kind = _SHAPES if shapes else _COLORS
    resolutions = tuple(resolution for resolution in kind.steps if resolution <= finest)
    levels = tuple(
        Level(
            r, steps=kind.steps[r], step_size=0.0, step_rms=kind.step_rms[r], luma=kind.luma[r], chroma=kind.chroma[r],
            guide=kind.guide, smoothing=0.05, jitter=2,
        )
        for r in resolutions
    )  # fmt: skip
    phases = tuple(Phase(kind.iterations[r], kind.batch[r], kind.learning_rate, r1_weight=0.3) for r in resolutions)
    return TrainingConfig(
        VotesConfig(resolutions=resolutions, pixel_width=16, seen_at=SEEN_AT),
        Curriculum(
            Schedule(
                levels,
                white_point=1.05,
                gate=kind.gate,
                likeness=kind.likeness,
                transport=kind.transport,
                palette=kind.palette,
            ),
            phases,
        ),
        seed=seed,
        white_point=1.15,
        r1_every=2,
        sheet_every=100,
        steps_at_use=tuple(kind.steps_at_use[r] for r in resolutions),
        texture=kind.texture if kind.texture.resolution <= finest else None,
        upsampling=kind.upsampling,
        ema=0.99,
    )


# Pictures of nothing. A start is a blurred picture, in the right colours but for some: what it lacks is fine, and luma.
_GENERATOR_ITERATIONS = {64: 160, 128: 40, 256: 40}
_GENERATOR_BATCH = {64: 8, 128: 4, 256: 4}
_GENERATOR_STEPS = {64: 10, 128: 10, 256: 6}
_GENERATOR_STEPS_AT_USE = {64: 24, 128: 20, 256: 12}
_GENERATOR_STEP_RMS = {64: 0.05, 128: 0.03, 256: 0.02}
_GENERATOR_LUMA: dict[int, Scales] = {
    64: ((1, 0.3), (2, 0.4), (4, 0.7), (8, 0.7), (16, 0.3)),
    128: ((1, 0.5), (2, 0.7), (4, 0.7), (8, 0.3)),
    256: ((1, 0.5), (2, 0.7), (4, 0.7), (8, 0.3)),
}
_GENERATOR_CHROMA: dict[int, Scales] = {
    64: ((2, 0.1), (4, 0.1), (8, 0.1)), 128: ((4, 0.1), (8, 0.1)), 256: ((8, 0.1), (16, 0.1)),
}  # fmt: skip


def generator(finest: int = 128, seed: int = 0) -> TrainingConfig:
    """Pictures of nothing, on the trunk: from samples of a density up to `finest` 64, 128 or 256 px."""
    _check(finest)
    resolutions = tuple(resolution for resolution in RESOLUTIONS if resolution <= finest)
    levels = tuple(
        Level(
            r, steps=_GENERATOR_STEPS[r], step_size=0.0, step_rms=_GENERATOR_STEP_RMS[r], luma=_GENERATOR_LUMA[r],
            chroma=_GENERATOR_CHROMA[r], smoothing=0.05, jitter=2,
        )
        for r in resolutions
    )  # fmt: skip
    phases = tuple(
        Phase(_GENERATOR_ITERATIONS[r], batch=_GENERATOR_BATCH[r], learning_rate=1e-3, r1_weight=0.3)
        for r in resolutions
    )
    return TrainingConfig(
        VotesConfig(resolutions=resolutions, pixel_width=16, seen_at=SEEN_AT),
        Curriculum(Schedule(levels, white_point=1.05), phases),
        seed=seed,
        white_point=1.15,
        r1_every=2,
        sheet_every=100,
        steps_at_use=tuple(_GENERATOR_STEPS_AT_USE[r] for r in resolutions),
        stretch_at_use=0.5,
        ema=0.99,
    )


def _check(finest: int) -> None:
    if finest not in RESOLUTIONS:
        raise ValueError(f"there are presets for 64, 128 and 256 px, not {finest}")


# From scratch -------------------------------------------------------------------------------------------------------

# A step moves a pixel of a fine picture less than one of a coarse picture, whose gradient sums up many; larger steps
# there make up for a part of it.
_STEP_SIZES = {16: 8.0, 32: 8.0, 64: 16.0, 128: 32.0, 256: 64.0}
_CHAIN_STEPS = {16: 6, 32: 10, 64: 4, 128: 4, 256: 4}
_CHAIN_PHASES = {
    16: Phase(iterations=400, batch=32, learning_rate=1e-3),
    32: Phase(iterations=1200, batch=16, learning_rate=7e-4),
    64: Phase(iterations=300, batch=16, learning_rate=2e-4),
    128: Phase(iterations=300, batch=8, learning_rate=1e-4),
    256: Phase(iterations=2000, batch=8, learning_rate=1e-4),
}
_DENOISING_STEPS = {16: 6, 32: 5, 64: 4, 128: 4, 256: 4}
# The way back from noise is learned without a game between two players: it gets better for as long as it goes on.
_DENOISING_PHASES = {
    16: Phase(iterations=7000, batch=32, learning_rate=1e-3),
    32: Phase(iterations=3500, batch=16, learning_rate=7e-4),
    64: Phase(iterations=2500, batch=16, learning_rate=5e-4),
    128: Phase(iterations=2500, batch=8, learning_rate=5e-4),
    256: Phase(iterations=2500, batch=8, learning_rate=5e-4),
}


def from_scratch(finest: int = 128, seed: int = 0) -> TrainingConfig:
    """The paper's own setting, without a trunk: chains from source pictures, or from noise, contrasted with targets."""
    _check(finest)
    resolutions = [r for r in _STEP_SIZES if r <= finest]
    levels = tuple(Level(r, steps=_CHAIN_STEPS[r], step_size=_STEP_SIZES[r]) for r in resolutions)
    # R1 weighs the energy that a step gains at first order: step size x slope^2.
    phases = tuple(replace(_CHAIN_PHASES[r], r1_weight=0.25 * _STEP_SIZES[r]) for r in resolutions)
    return TrainingConfig(
        PixelConfig(coarsest=16, finest=finest),
        Curriculum(Schedule(levels, white_point=1.01), phases),
        loss="contrastive",
        seed=seed,
        r1_every=4,
        ema=0.995,
        bfloat16_up_to=128,
    )


def denoiser(finest: int = 128, seed: int = 0) -> TrainingConfig:
    """The way back from noise, without a trunk: for restoring pictures."""
    _check(finest)
    resolutions = [r for r in _STEP_SIZES if r <= finest]
    # A chain of the schedule's length goes twice as far as one step back to the clean picture. That way is learned in
    # pixels: a white point so far off leaves mirror coordinates no different from them.
    levels = tuple(
        Level(r, steps=_DENOISING_STEPS[r], step_size=_STEP_SIZES[r],
              denoise_scale=_DENOISING_STEPS[r] * _STEP_SIZES[r] / 2)
        for r in resolutions
    )  # fmt: skip
    return TrainingConfig(
        PixelConfig(coarsest=16, finest=finest, width=32),
        Curriculum(Schedule(levels, white_point=10.0), tuple(_DENOISING_PHASES[r] for r in resolutions)),
        loss="denoising",
        seed=seed,
        ema=0.998,
        sheet_every=500,
    )
