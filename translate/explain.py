"""What a chain changed and why, for the eye: saliency, energy maps, and the energy on its way down."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.images.write import make_folder, save_image
from translate.trajectory import Frame, make_strip, save_gif

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from translate.pipeline import Result

PANEL = 320  # longest side of a picture on a sheet of explanations, in pixels
DPI = 100
HEAT = "inferno"  # equal steps look equally large, and lightness alone tells them apart: for the colour-blind, in print


def colours(levels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The map's colours for levels from 0 (black) to 1 (pale yellow), any shape: the shape x 3."""
    from matplotlib import colormaps  # not at the top: it takes half a second, and few ask for it

    colored: NDArray[np.uint8] = np.asarray(colormaps[HEAT](levels, bytes=True))[..., :3]
    return colored


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
    fall: NDArray[np.float32] = np.sum(same, axis=0, dtype=np.float32)
    window = result.frames[0].window
    return fall if window is None else window.spread(fall)


def explain(result: Result, target: str = "the target") -> Image.Image:
    """One sheet: source and result, what moved, where the energy fell, the energy along the chain.

    target: what the model makes, in words. Returns RGB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # no pyplot: no window, no global state

    before, after = _panel(result.photo.rgb), _panel(result.picture)
    rows = 2 if result.frames else 1
    figure = Figure(figsize=(3.4 * PANEL / DPI, rows * (before.height + 90) / DPI), dpi=DPI, layout="constrained")
    places = figure.add_gridspec(rows, 3)
    _show(figure.add_subplot(places[0, 0]), before, "source")
    _show(figure.add_subplot(places[0, 1]), after, "result")
    if result.frames:
        pixels = np.asarray(before)
        moved, fall = result.saliency, energy_fall(result)
        nearer = overlay(pixels, fall / (max(0.0, float(fall.max())) or 1.0))
        ends = ("0", f"{hottest(moved) / 2:.0%} of the full range")
        _show(figure.add_subplot(places[0, 2]), heat(pixels, moved), "how far each pixel moved", ends)
        _show(figure.add_subplot(places[1, 0]), nearer, f"where it came nearer to {target}", ("no nearer", "most"))
        _curves(figure.add_subplot(places[1, 1:]), result.frames)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _show(axes: Axes, picture: Image.Image, title: str, ends: tuple[str, str] | None = None) -> None:
    """A picture with its title and, if `ends` says what the two ends of the colours mean, their bar."""
    from matplotlib.cm import ScalarMappable

    axes.imshow(picture)
    axes.set_anchor("N")
    axes.set_title(title, fontsize=9, loc="left")
    axes.axis("off")
    if ends is not None:
        bar = axes.figure.colorbar(ScalarMappable(cmap=HEAT), ax=axes, orientation="horizontal", ticks=[0, 1], pad=0.02)
        bar.ax.set_xticklabels(ends, fontsize=8)


def _curves(axes: Axes, frames: Sequence[Frame]) -> None:
    """The energy after each step. Energies of two levels do not compare: each level's line fills the height by itself,
    with its first and last energy beside it."""
    axes.set_title("energy after each step, level by level", fontsize=9, loc="left")
    axes.axis("off")
    for level in sorted({frame.level for frame in frames}):
        steps = [number for number, frame in enumerate(frames) if frame.level == level]
        energies = np.array([frames[number].energy for number in steps])
        heights = (energies - energies.min()) / (float(np.ptp(energies)) or 1.0)
        axes.plot(steps, heights, marker="o", markersize=4, color=colours(np.array(0.3 + 0.12 * min(level, 3))) / 255)
        for place, offset in ((0, 6), (-1, -14)):
            at = (steps[place], heights[place])
            axes.annotate(
                f"{energies[place]:.2f}", at, (0, offset), textcoords="offset points", ha="center", fontsize=8
            )
    axes.margins(0.05, 0.15)


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
