"""The detail transfer against plain enlargement of the change, on the same chains:

python benchmarks/detail.py --source testA --target testB [--model apple2orange] [--network NAME] [--features FILE]

Realism, rate and content as in `cf-translate evaluate`; and, on the project's own samples at 1024 px:

sharpness    slope of the picture across its strongest edges (the steepest 2 % of the source), relative to the source's
bleeding     mean change of white within 16 px of something that is not white, in levels of 255
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from models.config import Upsampling
from translate import Translator
from translate.metrics.distances import WHITE
from translate.metrics.evaluation import open_bench
from translate.metrics.folders import Folders
from translate.metrics.networks import NAMES
from translate.upsample import guided_upsample

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
Transfer = Callable[[NDArray[np.uint8], Tensor, Tensor, Upsampling], NDArray[np.uint8]]


def enlarge(picture: NDArray[np.uint8], source: Tensor, result: Tensor, upsampling: Upsampling) -> NDArray[np.uint8]:
    """The plain way: the change, enlarged to the picture's size and added. Arguments as those of `carry`."""
    change = F.interpolate(result - source, picture.shape[:2], mode="bicubic")[0].permute(1, 2, 0).numpy()
    return (picture + 127.5 * change).round().clip(0, 255).astype(np.uint8)


TRANSFERS: Mapping[str, Transfer] = {"plain enlargement": enlarge, "detail transfer": guided_upsample}


def translations(translator: Translator, pictures: Sequence[Image.Image]) -> Iterator[dict[str, Image.Image]]:
    for picture in pictures:
        *_, last = translator.frames(picture)
        pixels = np.asarray(picture.convert("RGB"))
        moved = last.source, last.state, last.upsampling
        yield {name: Image.fromarray(way(pixels, *moved)) for name, way in TRANSFERS.items()}


def slopes(picture: Image.Image) -> NDArray[np.float32]:
    grey = np.asarray(picture.convert("L"), np.float32)
    down, right = np.gradient(grey)
    return np.hypot(down, right)


def sharpness(source: Image.Image, result: Image.Image) -> float:
    steep = slopes(source)
    edges = steep >= np.quantile(steep, 0.98)
    return float(slopes(result)[edges].mean() / steep[edges].mean())


def bleeding(source: Image.Image, result: Image.Image) -> float:
    """NaN where the source has no such white."""
    before, after = np.asarray(source, np.float32), np.asarray(result, np.float32)
    white = np.asarray((before >= WHITE).all(axis=2))
    things = Image.fromarray(np.where(white, 0, 255).astype(np.uint8))
    near = np.asarray(things.filter(ImageFilter.MaxFilter(33))) > 0
    border = white & near
    return float(np.abs(after - before)[border].mean()) if border.any() else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--model", default="apple2orange")
    parser.add_argument("--network", choices=NAMES, default="efficientnet-lite2")
    parser.add_argument("--features", type=Path)
    options = parser.parse_args()
    translator = Translator.load(options.model, "cpu")
    bench, _, _ = open_bench(Folders(options.source, options.target), [options.network], options.features, say=print)
    made = list(translations(translator, bench.sources))
    samples = [Image.open(path).convert("RGB").resize((1024, 768)) for path in sorted(SAMPLES.glob("apple*.jpg"))]
    results = list(translations(translator, samples))
    table = Table("change carried by", "KID x100", "rate", "content", "white change", "sharpness", "bleeding")
    for name in TRANSFERS:
        figures = bench.measure([picture[name] for picture in made])
        judged = figures.networks[options.network]
        pairs = [(sample, result[name]) for sample, result in zip(samples, results, strict=True)]
        sharp = np.mean([sharpness(*pair) for pair in pairs])
        bled = np.nanmean([bleeding(*pair) for pair in pairs])
        table.add_row(
            name, f"{judged.kid_x100:.1f}", f"{judged.rate.share:.2f}",
            "-" if figures.content is None else f"{figures.content:.3f}",
            "-" if figures.white is None else f"{figures.white:.1f}", f"{sharp:.3f}", f"{bled:.2f}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
