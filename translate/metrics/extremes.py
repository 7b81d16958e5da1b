"""A sheet of the best, middle and worst pictures of a result set: so that a person sees what the number saw."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from translate.images.write import save_image
from translate.metrics.pairs import to_square

Pictures = Sequence[Image.Image]

EACH = 12
SIDE, GAP, HEAD = 128, 4, 24  # of a picture, between two, above a band, in pixels
BANDS = ("best", "middle", "worst")


def bands(parts: Sequence[float] | np.ndarray, each: int = EACH) -> list[list[int]]:
    """Numbers of the `each` lowest, middle and highest of N parts, rising; of fewer than 3 x `each` a third."""
    order = np.argsort(np.asarray(parts), kind="stable").tolist()
    count = min(each, max(1, len(order) // 3))
    middle = (len(order) - count) // 2
    return [order[:count], order[middle : middle + count], order[-count:]]


def extremes(sources: Pictures, results: Pictures, parts: Sequence[float] | np.ndarray, title: str) -> Image.Image:
    """Three bands of up to EACH pictures, the results under their sources. parts: of the results, low is good."""
    chosen = bands(parts)
    width = GAP + len(chosen[0]) * (SIDE + GAP)
    height = HEAD + 2 * (SIDE + GAP)
    sheet = Image.new("RGB", (max(width, 480), 3 * height + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for band, (name, numbers) in enumerate(zip(BANDS, chosen, strict=True)):
        top = band * height
        span = f"{parts[numbers[0]]:.1f} to {parts[numbers[-1]]:.1f}"
        draw.text((GAP, top + 4), f"{title}: {name}, part in KID x100 {span}", "black", font)
        for column, number in enumerate(numbers):
            left = GAP + column * (SIDE + GAP)
            for row, picture in enumerate((sources[number], results[number])):
                sheet.paste(to_square(picture, SIDE), (left, top + HEAD + row * (SIDE + GAP)))
    return sheet


def keeper(folder: Path) -> Callable[[str, Pictures, Pictures, Sequence[float] | np.ndarray], None]:
    """Writes a sheet ROW.png into the folder, which is made at once; for `evaluate`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)

    def keep(row: str, sources: Pictures, results: Pictures, parts: Sequence[float] | np.ndarray) -> None:
        name = re.sub(r"[^\w.]+", "-", row).strip("-.") or "row"
        save_image(extremes(sources, results, parts, row), folder / f"{name}.png")

    return keep
