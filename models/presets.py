"""Ready-made trainings, named by the short side of the pictures that the model works on."""

from __future__ import annotations

from dataclasses import replace

from models.energy import EnergyConfig
from models.locating import FOCUS
from models.schedule import Curriculum, Ladder, Phase, Stage
from models.training import TrainingConfig

SHADE = 0.4  # from .2 to .6 darker skins stay darker, and change less: models choose at export, see docs/experiments.md

# A step moves a pixel of a fine picture less than one of a coarse picture, whose slope sums up many; larger steps there
# make up for a part of it. Most of a chain is on 32 px: with much of it on 16 px all things of a picture end in one
# colour. Fine stages get a low learning rate, not to spoil the coarse ones, which learn on beside them and do the most.
_STAGES = {
    16: (Stage(16, steps=3, step_size=8), Phase(iterations=400, batch=32, learning_rate=1e-3)),
    32: (Stage(32, steps=10, step_size=8), Phase(iterations=1200, batch=16, learning_rate=7e-4)),
    64: (Stage(64, steps=4, step_size=16), Phase(iterations=300, batch=16, learning_rate=2e-4)),
    128: (Stage(128, steps=4, step_size=32), Phase(iterations=300, batch=8, learning_rate=1e-4)),
    256: (Stage(256, steps=4, step_size=64), Phase(iterations=2000, batch=8, learning_rate=1e-4)),
}

# Shapes take longer to move than colours, most of all where whole heads do, on the first stage. The fine stages are to
# know where the long chains lead that fur and eyes take at use.
_SHAPE = {
    16: (Stage(16, steps=15, step_size=8), Phase(iterations=1500, batch=16, learning_rate=1e-3)),
    32: (Stage(32, steps=8, step_size=8), Phase(iterations=900, batch=16, learning_rate=7e-4)),
    64: (Stage(64, steps=8, step_size=16), Phase(iterations=600, batch=8, learning_rate=5e-4)),
    128: (Stage(128, steps=8, step_size=32), Phase(iterations=800, batch=8, learning_rate=5e-4)),
}

# The way back from noise is learned without a game between two players: it gets better for as long as it goes on. Of
# whole pictures the first stage must learn what is where, of close-ups only texture.
_STAGES_FROM_NOISE = (
    Stage(16, steps=6, step_size=8),
    Stage(32, steps=5, step_size=8),
    Stage(64, steps=4, step_size=16),
    Stage(128, steps=4, step_size=32),
    Stage(256, steps=4, step_size=64),
)
_FROM_NOISE = {
    16: Phase(iterations=7000, batch=32, learning_rate=1e-3),
    32: Phase(iterations=3500, batch=16, learning_rate=7e-4),
    64: Phase(iterations=2500, batch=16, learning_rate=5e-4),
    128: Phase(iterations=2500, batch=8, learning_rate=5e-4),
    256: Phase(iterations=2500, batch=8, learning_rate=5e-4),
}
_CLOSE_UPS_FROM_NOISE = {
    **_FROM_NOISE,
    16: Phase(iterations=3000, batch=16, learning_rate=1e-3),
    32: Phase(iterations=3000, batch=8, learning_rate=7e-4),
    64: Phase(iterations=2500, batch=8, learning_rate=5e-4),
}


def preset(
    finest: int,
    seed: int = 0,
    zoom: int = 1,
    from_noise: bool = False,
    with_source: bool = True,
    shape: bool = False,
) -> TrainingConfig:
    """The training of a model for `finest` px: 64, 128 or 256. Raises ValueError for others.

    zoom: 1 for things, seen whole; 2 or 4 for styles and textures, seen from near. from_noise: for models that restore,
    judge, or give pictures new texture (see TrainingConfig). with_source: whether there is a source folder. shape: for
    chains that move shapes as well as colours, in pictures of things seen whole, with a source folder, of 64 or 128 px.
    """
    if zoom not in (1, 2, 4):
        raise ValueError(f"zoom must be 1, 2 or 4, not {zoom}")
    if finest not in (64, 128, 256):
        raise ValueError(f"there are presets for 64, 128 and 256 px, not {finest}")
    if shape:
        if zoom != 1 or from_noise or not with_source or finest not in _SHAPE:
            raise ValueError("shapes move from sources, seen whole, not from noise, at 64 or 128 px")
        return _bending(finest, seed)
    if from_noise:
        config = _from_noise(finest, seed, zoom)
        return _renewing(config) if with_source else config
    stages, phases = _up_to(finest, _STAGES)
    if not with_source:
        stages = (replace(stages[0], steps=6), *stages[1:])  # chains that start at noise have further to go
    # Things stand on a ground, which is to stay; a style has none.
    ladder = Ladder(stages, shade=SHADE, focus=FOCUS) if with_source and zoom == 1 else Ladder(stages)
    return TrainingConfig(
        EnergyConfig(coarsest=16, finest=finest),
        Curriculum(ladder, phases),
        seed=seed,
        zoom=zoom,
        penalty=0.25 * zoom,  # textures make an energy steeper than things do: at .25 a zoom of 4 blew up
        bfloat16_up_to=128,
    )


def _up_to(finest: int, table: dict[int, tuple[Stage, Phase]]) -> tuple[tuple[Stage, ...], tuple[Phase, ...]]:
    rows = [row for resolution, row in table.items() if resolution <= finest]
    return tuple(stage for stage, _ in rows), tuple(phase for _, phase in rows)


def _bending(finest: int, seed: int) -> TrainingConfig:
    stages, phases = _up_to(finest, _SHAPE)
    return TrainingConfig(
        EnergyConfig(coarsest=16, finest=finest, widest=96),
        Curriculum(Ladder(stages, bend=0.35), phases),
        seed=seed,
        overshoot=0.0,
        bfloat16_up_to=128,
    )


def _from_noise(finest: int, seed: int, zoom: int) -> TrainingConfig:
    stages = [stage for stage in _STAGES_FROM_NOISE if stage.resolution <= finest]
    phases = _FROM_NOISE if zoom == 1 else _CLOSE_UPS_FROM_NOISE
    return TrainingConfig(
        # Close-ups are walked on at several times their training size, where width costs most.
        EnergyConfig(coarsest=16, finest=finest, width=32 if zoom == 1 else 16),
        Curriculum(
            # A chain of the ladder's length goes twice as far as one step back to the clean picture. That way is
            # learned in pixels: a reach so far off leaves tones no different from them.
            Ladder(tuple(replace(s, walk=s.steps * s.step_size / 2) for s in stages), reach=10.0),
            tuple(phases[stage.resolution] for stage in stages),
        ),
        seed=seed,
        zoom=zoom,
        from_noise=True,
        ema=0.998,
        sheet_every=500,
    )


def _renewing(config: TrainingConfig) -> TrainingConfig:
    """For chains that lay noise on sources: the same, but that they take part once there is an energy to lead them."""
    curriculum = config.curriculum
    stages = tuple(replace(stage, steps=5, noise=0.15) for stage in curriculum.ladder.stages)
    return replace(
        config,
        curriculum=replace(curriculum, ladder=replace(curriculum.ladder, stages=stages)),
        reach=curriculum.ladder.reach,
        warm_up=5100,
        contrast=0.3,
        penalty=0.0,  # the way back from noise holds the slopes
        overshoot=0.0,
        sheet_every=100,
        bfloat16_up_to=128,
    )
