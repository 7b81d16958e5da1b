"""Ready-made trainings, named by the short side of the pictures that the model works on."""

from __future__ import annotations

from models.energy import EnergyConfig
from models.schedule import Curriculum, Ladder, Phase, Stage
from models.training import TrainingConfig

_PHASES = {
    16: Phase(iterations=500, batch=32, learning_rate=1e-3),
    32: Phase(iterations=500, batch=16, learning_rate=7e-4),
    64: Phase(iterations=500, batch=16, learning_rate=5e-4),
    128: Phase(iterations=600, batch=8, learning_rate=5e-4),
    256: Phase(iterations=2000, batch=8, learning_rate=5e-4),
}


def preset(finest: int, seed: int = 0) -> TrainingConfig:
    """The training of a model for `finest` px: 64, 128 or 256. Raises ValueError for others."""
    if finest not in (64, 128, 256):
        raise ValueError(f"there are presets for 64, 128 and 256 px, not {finest}")
    phases = {resolution: phase for resolution, phase in _PHASES.items() if resolution <= finest}
    ladder = Ladder(tuple(Stage(resolution) for resolution in phases))
    return TrainingConfig(
        EnergyConfig(coarsest=16, finest=finest),
        Curriculum(ladder, tuple(phases.values())),
        seed=seed,
        bfloat16_up_to=32,
    )
