"""Contact sheets: 24 rendered still lifes or faces for each shipped direction, and what it makes of them.

python samples/sheets.py [MODEL...]    writes docs/sheets/MODEL.jpg, sources over results; two minutes a sheet

No picture is chosen by hand: place, number and kind of the fruits, ground and light come from a number each, and so do
breed, coat and pose of cats and dogs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from samples.faces import cat, dog, draw  # noqa: E402
from samples.render import (  # noqa: E402
    UP,
    Array,
    Backdrop,
    Scene,
    Surface,
    Thing,
    Triple,
    apple,
    blurred_lights,
    orange,
    render,
    vector,
    white_backdrop,
    white_ground,
    wooden_table,
)

Ground = Callable[[Array], Surface]

COUNT, COLUMNS, SIDE, RAYS = 24, 8, 160, 8


def apples(seed: int) -> Image.Image:
    return render(still_life(("apple",), seed), samples=RAYS)


def oranges(seed: int) -> Image.Image:
    return render(still_life(("orange",), seed), samples=RAYS)


def fruits(seed: int) -> Image.Image:
    return render(still_life(("apple", "orange"), seed), samples=RAYS)


def cats(seed: int) -> Image.Image:
    return draw(cat(seed))


def dogs(seed: int) -> Image.Image:
    return draw(dog(seed))


SOURCES = {
    "apple2orange": apples, "orange2apple": oranges, "photo2vangogh": fruits, "cat2dog": cats, "dog2cat": dogs,
}  # fmt: skip


def still_life(fruits: tuple[str, ...], seed: int) -> Scene:
    """One to five fruits of the given kinds on one of four grounds."""
    rng = np.random.default_rng(seed)
    places: list[tuple[float, float]] = []
    for _ in range(rng.integers(1, 6)):
        # A fruit that finds no room of its own in a few throws stays away.
        for x, z in rng.uniform((-2.2, -2.6), (2.2, 0.8), (8, 2)):
            if all(np.hypot(x - a, z - b) > 1.95 for a, b in places):
                places.append((float(x), float(z)))
                break
    things: list[Thing] = []
    for number, (x, z) in enumerate(places):
        scale, tilt = float(rng.uniform(0.9, 1.05)), (float(rng.uniform(-12, 24)), float(rng.uniform(0, 360)), 8.0)
        if rng.choice(fruits) == "apple":
            red = float(rng.choice((0.0, 0.7, 0.9, 1.0)))
            things += apple(x, z, 31 * seed + number, red, scale, tilt)
        else:
            things.append(orange(x, z, 31 * seed + number, scale, tilt))
    ground, backdrop = _surroundings(int(rng.integers(4)), seed)
    middle = np.mean(places, axis=0)
    return Scene(
        things=things,
        ground=ground,
        backdrop=backdrop,
        eye=(float(rng.uniform(-1.5, 1.5)), float(rng.uniform(1.8, 4.5)), 8.2),
        target=(float(middle[0]), 0.8, float(middle[1])),
        size=(256, 256),
        view=22 + 2.5 * len(places),
        lens=0.08,
        lamp=(float(rng.uniform(-6, 6)), float(rng.uniform(5, 9)), float(rng.uniform(1, 6))),
        key=1.1,
        fill=float(rng.uniform(0.2, 0.35)),
    )


def _surroundings(kind: int, seed: int) -> tuple[Ground, Backdrop]:
    """White, grey, dark wood or light wood, and what stands behind."""
    dim = blurred_lights((0.05, 0.09, 0.04), (0.25, 0.32, 0.14), [(0.8, 0.85, 0.5)], seed)
    warm = blurred_lights((0.2, 0.14, 0.09), (0.42, 0.33, 0.22), [(0.9, 0.75, 0.5)], seed)
    return (
        (white_ground, white_backdrop),
        (plain((0.32, 0.33, 0.34)), lambda d: np.broadcast_to(vector((0.36, 0.37, 0.38)), d.shape)),
        (wooden_table((0.10, 0.042, 0.016), (0.36, 0.19, 0.08)), warm),
        (wooden_table((0.22, 0.17, 0.12), (0.50, 0.42, 0.32), 2.0), dim),
    )[kind]


def plain(colour: Triple) -> Ground:
    """A ground of one colour, without gloss."""

    def ground(p: Array) -> Surface:
        even = np.broadcast_to(vector(colour), p.shape)
        return Surface(even, np.broadcast_to(UP, p.shape), np.zeros(len(p), np.float32))

    return ground


def sheet(sources: list[Image.Image], results: list[Image.Image]) -> Image.Image:
    """Each row of sources over the row of their results."""
    rows = -(-len(sources) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * SIDE, 2 * rows * SIDE), "white")
    for number, pair in enumerate(zip(sources, results, strict=True)):
        row, column = divmod(number, COLUMNS)
        for below, picture in enumerate(pair):
            small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            whole.paste(small, (column * SIDE, (2 * row + below) * SIDE))
    return whole


def main() -> None:
    from translate import Translator

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", metavar="MODEL", nargs="*", help=", ".join(SOURCES))
    folder = ROOT / "docs" / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    for model in parser.parse_args().models or SOURCES:
        sources = [SOURCES[model](seed) for seed in range(COUNT)]
        results = [result.picture for result in Translator.load(model, "cpu").batch(sources)]
        sheet(sources, results).save(folder / f"{model}.jpg", quality=88, optimize=True)
        print(folder / f"{model}.jpg")


if __name__ == "__main__":
    main()
