"""What a chain changed, for the eye: the saliency map over the photo, and the energy on its way down."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.frames import Frame

# From nothing over red to pale yellow: dark where little moved, readable for the colour-blind by lightness alone.
_HEAT = np.array([(20, 12, 40), (120, 28, 90), (214, 60, 60), (250, 150, 50), (255, 240, 170)], np.float32)


def heat(picture: NDArray[np.uint8], moved: NDArray[np.float32]) -> Image.Image:
    """The saliency map in colours of heat over the photo in grey.

    picture: (H, W, 3). moved: (h, w), as frames.saliency gives it; its 99th percentile is the hottest colour.
    Returns RGB, (W, H).
    """
    height, width = picture.shape[:2]
    top = float(np.quantile(moved, 0.99)) or 1.0
    level = Image.fromarray((moved / top).clip(0, 1).astype(np.float32))
    level = level.resize((width, height), Image.Resampling.BICUBIC)
    share = np.asarray(level).clip(0, 1)[..., None]
    ends = np.linspace(0, 1, len(_HEAT))
    colours = np.stack([np.interp(share[..., 0], ends, _HEAT[:, channel]) for channel in range(3)], axis=-1)
    grey = picture.mean(axis=2, keepdims=True) * 0.6 + 30
    mixed = grey + (colours - grey) * (0.25 + 0.65 * share)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def energy_curve(frames: Sequence[Frame], chosen: int, names: Sequence[str]) -> str:
    """The energy after every step as an SVG drawing, one line a stage.

    Energies of different stages are different functions, so each line fills the height by itself.
    chosen: the step that is marked, counted from 1; 0 marks none. names: what the stages are called, coarse first.
    The drawing takes its colours from CSS: the text's own, and --curve for the lines.
    """
    if not frames:
        return ""
    width, height, top, bottom, side = 340, 200, 16, 32, 12
    x = np.linspace(side, width - side, len(frames) + 1)[1:]
    drawn = []
    for stage in sorted({frame.stage for frame in frames}):
        places = [n for n, frame in enumerate(frames) if frame.stage == stage]
        energies = np.array([frames[n].energy for n in places])
        span = float(np.ptp(energies)) or 1.0
        y = top + (energies.max() - energies) / span * (height - top - bottom)
        points = " ".join(f"{x[n]:.1f},{level:.1f}" for n, level in zip(places, y, strict=True))
        middle = (x[places[0]] + x[places[-1]]) / 2
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="var(--curve)" stroke-width="3" stroke-linecap="round" '
            'stroke-linejoin="round"/>'
            f'<text x="{middle:.1f}" y="{height - 8}" text-anchor="middle">{escape(names[stage % len(names)])}</text>'
        )
        if chosen - 1 in places:
            level = y[places.index(chosen - 1)]
            drawn.append(
                f'<line x1="{x[chosen - 1]:.1f}" x2="{x[chosen - 1]:.1f}" y1="{top}" y2="{height - bottom + 4}" '
                'stroke="currentColor" stroke-opacity=".35" stroke-dasharray="3 4"/>'
                f'<circle cx="{x[chosen - 1]:.1f}" cy="{level:.1f}" r="6" fill="var(--curve)"/>'
            )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" fill="currentColor" font-size="13" '
        f'aria-label="The energy falls along {len(frames)} steps">{"".join(drawn)}</svg>'
    )
