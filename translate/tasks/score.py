"""How unusual is a picture for the domain of a model? In plain words, with the energies beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps

from translate.images.read import open_image
from translate.images.types import Source
from translate.tasks.calibration import at_resolution, load_stats, measured
from translate.tasks.pixels import as_tensor
from translate.tasks.typicality import PERCENTS

if TYPE_CHECKING:
    from translate.pipeline import Translator

UNUSUAL = 95  # from this mark on a picture counts as an outlier


@dataclass(frozen=True)
class Verdict:
    """unusual: the score, 0 for the usual picture, higher is stranger. percent: the highest of PERCENTS of the pictures
    of the calibration that are all less unusual, 0 for none, 100 if all are. outlier: whether that is 95 or more.
    energies: by resolution; they compare only with the same model's. words: one sentence."""

    unusual: float
    percent: int
    outlier: bool
    energies: Mapping[int, float]
    words: str


def score(translator: Translator, picture: Source) -> Verdict:
    """Judge one picture, its middle cut out as a square, as training pictures are.

    Raises ImageError, NotCalibrated, and ValueError for a broken calibration and for a model that does not judge.
    """
    known, probe = load_stats(translator.config, translator.name), translator.model.probe
    assert probe is not None
    photo = open_image(picture)
    rgb = photo.rgb
    if photo.alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), photo.alpha)
    side = translator.config.schedule.finest
    square = np.asarray(ImageOps.fit(rgb, (side, side), Image.Resampling.LANCZOS))
    x = as_tensor(square).to(translator.device)
    far = float(known.judge(measured(probe, x))[0])
    resolutions = [level.resolution for level in translator.config.schedule.levels]
    with torch.no_grad():
        energies = {r: round(float(translator.energy.at(r)(at_resolution(x, r))), 5) for r in resolutions}
    passed = [percent for percent, mark in zip(PERCENTS, known.marks, strict=True) if far > mark]
    percent = 100 if far > known.highest else max(passed, default=0)
    return Verdict(far, percent, percent >= UNUSUAL, energies, _words(percent, known.count, translator.config.target))


def _words(percent: int, count: int, target: str) -> str:
    pictures = f"the {count} pictures of its calibration" + (f" ({target})" if target else "")
    if percent == 100:
        return f"more unusual than every one of {pictures}"
    if percent >= 50:
        return f"more unusual than {percent} % of {pictures}"
    return f"no more unusual than half of {pictures}"
