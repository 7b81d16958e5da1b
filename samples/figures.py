"""The pictures of README.md and docs/: made from the samples by the shipped models.

python samples/figures.py [MODEL...]    half a minute of one processor core a model; writes into docs/images/:

MODEL.jpg           the source, three steps of the chain, the result
chain.gif           the chain of cat2dog as an animation
why-MODEL.jpg       what moved, and the energy on its way down: the sheet of `translate --saliency`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from translate import Translator  # noqa: E402
from translate.explain import explain  # noqa: E402
from translate.pipeline import Result  # noqa: E402
from translate.trajectory import save_gif  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SHOWN = {
    "apple2orange": "apples_on_table", "orange2apple": "oranges_pile", "cat2dog": "cat_chelsea",
    "dog2cat": "dog_spaniel", "photo2vangogh": "photo_pavilion",
}  # fmt: skip
ANIMATED = "cat2dog"
EXPLAINED = ("apple2orange", "cat2dog")
SHARES = (0.08, 0.25, 0.5)  # of the chain: most of a change comes early
CELL, GAP = (240, 210), 6  # of a row, in pixels


def row(result: Result) -> Image.Image:
    """The source, three steps and the result, side by side, each cut to CELL."""
    steps = [result.frames[round(share * len(result.frames))].picture for share in SHARES]
    return side_by_side([result.photo.rgb, *steps, result.picture])


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    width, height = CELL
    sheet = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(ImageOps.fit(picture, CELL, Image.Resampling.LANCZOS), (number * (width + GAP), 0))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", metavar="MODEL", nargs="*", help=", ".join(SHOWN))
    models = parser.parse_args().models or list(SHOWN)
    IMAGES.mkdir(parents=True, exist_ok=True)
    for model in models:
        translator = Translator.load(model, "cpu")
        result = translator(ROOT / "samples" / f"{SHOWN[model]}.jpg")
        save(row(result), f"{model}.jpg")
        if model == ANIMATED:
            save_gif(result.photo.rgb, result.frames[::-5][::-1], IMAGES / "chain.gif", milliseconds=120)
        if model in EXPLAINED:
            save(explain(result, translator.config.target), f"why-{model}.jpg")


def save(picture: Image.Image, name: str) -> None:
    picture.save(IMAGES / name, quality=85, optimize=True, progressive=True)
    print(IMAGES / name)


if __name__ == "__main__":
    main()
