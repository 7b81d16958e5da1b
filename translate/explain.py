"""What a chain changed and why, for the eye: saliency, energy maps, and the energy on its way down."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from translate.images.write import make_folder, save_image
from translate.trajectory import Frame, make_strip, save_gif

if TYPE_CHECKING:
    from translate.pipeline import Result

# Ten even samples of matplotlib's inferno (van der Walt & Smith, CC0): equal steps look equally large, and lightness
# alone tells them apart, for the colour-blind and in print.
_HEAT = np.array(
    [
        (0, 0, 4), (27, 12, 65), (74, 12, 107), (120, 28, 109), (165, 44, 96),
        (207, 68, 70), (237, 105, 37), (251, 155, 6), (247, 209, 61), (252, 255, 164),
    ],
    np.float32,
)  # fmt: skip
PANEL = 320  # longest side of a picture on a sheet of explanations, in pixels
_LINE = 16  # height of a line of writing there, and of the legend's bar
_GAP = 12
_INK, _PAPER = (40, 40, 40), (255, 255, 255)
Panel = tuple[Image.Image, str, tuple[str, str] | None]  # picture, title, what the ends of its legend say
_WRITING = ImageFont.load_default(12)


def colours(levels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The map's colours for levels from 0 (black) to 1 (pale yellow), any shape: the shape x 3."""
    ends = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(levels, ends, _HEAT[:, channel]) for channel in range(3)], axis=-1).round().astype("u1")


def heat(picture: NDArray[np.uint8], moved: NDArray[np.float32]) -> Image.Image:
    """The saliency map in colours of heat over the photo in grey.

    picture: (H, W, 3). moved: (h, w), as trajectory.saliency gives it; its 99th percentile is the hottest colour.
    Returns RGB, (W, H).
    """
    return overlay(picture, moved / hottest(moved))


def hottest(moved: NDArray[np.float32]) -> float:
    """The movement that the hottest colour stands for, on the [-1, 1] scale."""
    return float(np.quantile(moved, 0.99)) or 1.0


def overlay(picture: NDArray[np.uint8], levels: NDArray[np.floating]) -> Image.Image:
    """Levels in 0..1, (h, w), enlarged and laid in colours over the picture (H, W, 3) in grey. Returns RGB, (W, H)."""
    height, width = picture.shape[:2]
    small = Image.fromarray(levels.clip(0, 1).astype(np.float32))
    share = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
    grey = picture.mean(axis=2, keepdims=True) * 0.6 + 30
    mixed = grey + (colours(share) - grey) * (0.25 + 0.65 * share[..., None])
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def energy_fall(result: Result) -> NDArray[np.float32]:
    """How far the energy fell in each place, (rows, columns): from the source to the end of the chain, levels added.

    Below 0 where it rose. (1, 1) without frames. Levels of the energy map itself say less: they differ from place to
    place in any picture, far more than a chain changes them on the last level.
    """
    ends = {frame.level: frame for frame in result.frames}
    energy_map = result.translator.energy_map
    falls = [energy_map(end.source, level) - energy_map(end.state, level) for level, end in ends.items()]
    if not falls:
        return np.zeros((1, 1), np.float32)
    height, width = falls[-1].shape
    same = [np.asarray(Image.fromarray(fall).resize((width, height), Image.Resampling.BILINEAR)) for fall in falls]
    return np.sum(same, axis=0, dtype=np.float32)


def explain(result: Result, target: str = "the target") -> Image.Image:
    """One sheet: source and result, what moved, where the energy fell, the energy along the chain.

    target: what the model makes, in words. Returns RGB; longest side of each panel 320 px.
    """
    before, after = _panel(result.photo.rgb), _panel(result.picture)
    panels: list[Panel] = [(before, "source", None), (after, "result", None)]
    if result.frames:
        pixels = np.asarray(before)
        moved, fall = result.saliency, energy_fall(result)
        most = max(0.0, float(fall.max()))
        panels += [
            (heat(pixels, moved), "how far each pixel moved", ("0", f"{hottest(moved) / 2:.0%} of the full range")),
            (overlay(pixels, fall / (most or 1.0)), f"where it came nearer to {target}", ("no nearer", "most")),
            (_curve(result.frames, (2 * PANEL + _GAP, before.height)), "energy after each step, level by level", None),
        ]
    return _sheet(panels, columns=3)


def save_views(result: Result, *, gif: Path | None, strip: Path | None, saliency: Path | None) -> None:
    """Save the chain as an animation, as a strip, and the sheet of `explain`; None leaves one out. Raises ImageError,
    OSError."""
    for path in (gif, strip, saliency):
        if path is not None:
            make_folder(path)
    if gif is not None:
        save_gif(result.photo.rgb, result.frames, gif)
    if strip is not None:
        save_image(make_strip(result.photo.rgb, result.frames), strip, provenance=result.provenance)
    if saliency is not None:
        sheet = explain(result, result.translator.config.target or "the target")
        save_image(sheet, saliency, provenance=result.provenance)


def _panel(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((PANEL, PANEL), reducing_gap=3.0)
    scale = PANEL / max(small.size)
    if scale > 1:
        sides = (max(1, round(small.width * scale)), max(1, round(small.height * scale)))
        small = small.resize(sides, Image.Resampling.BICUBIC)
    return small


def _sheet(panels: Sequence[Panel], columns: int) -> Image.Image:
    """Pictures of one size in rows, each with its title above and, where it has one, its legend below.

    The last one may be as wide as the places that are left in its row.
    """
    width = max(PANEL, panels[0][0].width) + _GAP
    height = panels[0][0].height + 3 * _LINE + _GAP
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (min(columns, len(panels)) * width + _GAP, rows * height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (picture, title, legend) in enumerate(panels):
        left, top = _GAP + number % columns * width, _GAP + number // columns * height
        draw.text((left, top), title, _INK, _WRITING)
        sheet.paste(picture, (left, top + _LINE + 2))
        if legend is not None:
            below = top + _LINE + picture.height + 6
            bar = colours(np.broadcast_to(np.linspace(0, 1, picture.width), (_LINE // 2, picture.width)))
            sheet.paste(Image.fromarray(bar), (left, below))
            draw.text((left, below + _LINE // 2), legend[0], _INK, _WRITING)
            right = left + picture.width - draw.textlength(legend[1], _WRITING)
            draw.text((right, below + _LINE // 2), legend[1], _INK, _WRITING)
    return sheet


def _curve(frames: Sequence[Frame], size: tuple[int, int]) -> Image.Image:
    """The energy curve as pixels; each stage's line fills the height by itself.

    Numbers stand above a line's first point and below its last, pushed apart where two would touch.
    """
    width, height = size
    drawing = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(drawing)
    places = np.linspace(8, width - 8, len(frames))
    room = {"first": float(width), "last": float(width)}  # what the numbers further right have left
    for stage in sorted({frame.level for frame in frames}, reverse=True):
        x = [float(place) for place, frame in zip(places, frames, strict=True) if frame.level == stage]
        energies = [frame.energy for frame in frames if frame.level == stage]
        high, low = max(energies), min(energies)
        y = [2 * _LINE + (high - e) / (high - low or 1.0) * max(1, height - 4 * _LINE) for e in energies]
        points = list(zip(x, y, strict=True))
        colour = tuple(int(c) for c in colours(np.array(0.3 + 0.12 * min(stage, 3))))
        draw.line(points, fill=colour, width=3, joint="curve")
        for point in points:
            draw.circle(point, 3, fill=colour)
        numbers = [
            ("first", energies[0], (x[0], max(0.0, y[0] - _LINE - 4))),
            ("last", energies[-1], (x[-1], y[-1] + 6)),
        ]
        for end, energy, (left, top) in numbers[: len(points)]:
            number = f"{energy:.2f}"
            wide = draw.textlength(number, _WRITING)
            left = max(0.0, min(left - wide / 2, room[end] - wide))
            draw.text((left, top), number, _INK, _WRITING)
            room[end] = left - 6
    return drawing


def energy_curve(frames: Sequence[Frame], chosen: int, names: Sequence[str]) -> str:
    """The energy after every step as an SVG drawing, one line a stage.

    Energies of different stages are different functions, so each line fills the height by itself; and all are as wide,
    so that a stage of two steps has room for its name.
    chosen: the step that is marked, counted from 1; 0 marks none. names: what the stages are called, coarse first.
    The drawing takes its colours from CSS: the text's own, and --curve for the lines.
    """
    if not frames:
        return ""
    width, height, top, bottom, side = 340, 200, 16, 32, 14
    wide = width / len(names)
    drawn = []
    for stage in sorted({frame.level for frame in frames}):
        places = [n for n, frame in enumerate(frames) if frame.level == stage]
        energies = np.array([frames[n].energy for n in places])
        span = float(np.ptp(energies)) or 1.0
        x = stage * wide + np.linspace(side, wide - side, len(places))
        y = top + (energies.max() - energies) / span * (height - top - bottom)
        points = " ".join(f"{across:.1f},{level:.1f}" for across, level in zip(x, y, strict=True))
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="var(--curve)" stroke-width="3" stroke-linecap="round" '
            'stroke-linejoin="round"/>'
            f'<text x="{(stage + 0.5) * wide:.1f}" y="{height - 8}" text-anchor="middle">{escape(names[stage])}</text>'
        )
        if chosen - 1 in places:
            across, level = (axis[places.index(chosen - 1)] for axis in (x, y))
            drawn.append(
                f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{top}" y2="{height - bottom + 4}" '
                'stroke="currentColor" stroke-opacity=".35" stroke-dasharray="3 4"/>'
                f'<circle cx="{across:.1f}" cy="{level:.1f}" r="6" fill="var(--curve)"/>'
            )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" fill="currentColor" font-size="13" '
        f'aria-label="The energy falls along {len(frames)} steps">{"".join(drawn)}</svg>'
    )
