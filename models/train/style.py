"""A style from paintings, and the texture of things from their pictures: fitted in one pass, coarse to fine. No source
pictures are needed."""

from __future__ import annotations

import torch

from models.config import ModelConfig, Upsampling
from models.model import Model
from models.preconditioner import Scales
from models.schedule import Level, Schedule
from models.terms.statistics import StatisticsConfig, StatisticsEnergy
from models.terms.trunk import load_trunk
from models.train.data import ImageArray

AT_ONCE = 16  # paintings
STEPS = {64: 5, 128: 8, 256: 20}
STEP_RMS = 0.03
_LUMA: Scales = ((1, 0.3), (2, 1.0), (4, 1.0), (16, 0.3))  # strokes, and how light a whole part is
_CHROMA: Scales = ((4, 0.3), (16, 0.3), (32, 0.1))  # finer ones would paint rainbows
_GUIDE = 0.02  # strokes and colours end where the scene has an edge
TEXTURES = 240  # pictures of a thing at most
WINDOW = 0.33  # of the middle that a face fills
CONTENT = 1.0  # weight of like scenes beside like strokes: at 6 a picture dreams of things in place of strokes


def style_schedule() -> Schedule:
    """The chain of a style: strokes grow from long to fine."""
    return Schedule(
        tuple(
            Level(
                resolution, steps=steps, step_rms=STEP_RMS, momentum=0.8, luma=_LUMA,
                chroma=_CHROMA, guide=_GUIDE, smoothing=0.08, jitter=2,
            )
            for resolution, steps in STEPS.items()
        ),
        white_point=10.0,
        keep_color=0.5,
    )  # fmt: skip


def fit_style(
    paintings: ImageArray,
    *,
    source: str = "photos",
    target: str = "",
    config: StatisticsConfig | None = None,
    schedule: Schedule | None = None,
    device: torch.device | str = "cpu",
) -> Model:
    """A model of a style, from paintings at least as large as the finest resolution.

    source, target: what is painted and in which style, in words. config: shape of the energy; the number of paintings
    is put in.
    """
    schedule = schedule or style_schedule()
    resolutions = tuple(level.resolution for level in schedule.levels)
    shape = config or StatisticsConfig(resolutions=resolutions, content=CONTENT)
    shape = StatisticsConfig(**{**vars(shape), "paintings": len(paintings)})
    energy = _fitted(shape, paintings, torch.device(device))
    made = ModelConfig(
        shape, schedule, source=source, target=target, upsampling=Upsampling(),
        trained={"paintings": len(paintings)},
    )  # fmt: skip
    return Model(energy, made)


def texture_of(target: ImageArray, resolution: int, device: torch.device) -> StatisticsEnergy:
    """The texture of aligned things at one resolution, in px: statistics of their pictures, but for the margins, where
    the ground shows."""
    pictures = target.thinned(TEXTURES)
    shape = StatisticsConfig((resolution,), paintings=len(pictures), content=CONTENT, window=WINDOW)
    return _fitted(shape, pictures, device)


def _fitted(shape: StatisticsConfig, pictures: ImageArray, device: torch.device) -> StatisticsEnergy:
    energy = StatisticsEnergy(shape, load_trunk(device=device)).to(device)
    energy.fit([batch.to(device) for batch in pictures.whole(shape.resolutions[-1], AT_ONCE)])
    return energy.eval().requires_grad_(False)
