"""Blind sheets: rows of result, source, result, for people who vote with a pencil."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from translate.images.read import open_image
from translate.images.write import save_image
from translate.panel.rows import Panel
from translate.panel.votes import write_votes

SIDE, GAP, MARGIN = 256, 8, 72  # of a picture, between rows, for the number, in pixels
ROWS = 4  # on a sheet
FORM = "votes.csv"


def shown(path: Path, side: int) -> Image.Image:
    """A picture of at most side x side, as it is shown: nothing but its pixels. Raises ImageError."""
    photo = open_image(path)
    rgb = photo.rgb
    if photo.alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), photo.alpha)
    return rgb if max(rgb.size) <= side else ImageOps.contain(rgb, (side, side), Image.Resampling.LANCZOS)


def write_sheets(panel: Panel, folder: Path, progress: Callable[[str], None] = lambda name: None) -> list[Path]:
    """Write sheet_01.png ... and an empty votes.csv, if there is none; returns the sheets.

    Every picture is read before a sheet is written. Raises ImageError, OSError.
    """
    square = SIDE, SIDE
    rows = [[ImageOps.contain(shown(path, SIDE), square) for path in files] for files in panel.files()]
    font = ImageFont.load_default(22)
    written = []
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        sheet = Image.new("RGB", (MARGIN + 3 * (SIDE + GAP), (SIDE + GAP) * len(part)), "white")
        draw = ImageDraw.Draw(sheet)
        for number, row in enumerate(part):
            top = number * (SIDE + GAP)
            draw.text((GAP, top + SIDE // 2), str(start + number + 1), "black", font)
            for column, picture in enumerate(row):
                left = MARGIN + column * (SIDE + GAP)
                sheet.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))
        path = folder / f"sheet_{start // ROWS + 1:02d}.png"
        save_image(sheet, path)
        progress(path.name)
        written.append(path)
    if not (folder / FORM).exists():
        write_votes(folder / FORM, {}, len(panel.rows))
    return written
