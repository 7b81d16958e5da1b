"""What a translation that is perfect, but made at so many pixels and no finer, would be worth:

python -m benchmarks.ceiling --source testA --target testB [--sizes 16,32,64,128] [--network NAME] [--features FILE]

In the place of a chain's end stand pictures of the target domain itself, from the training folder beside the target's,
reduced to each size: nothing that a chain makes there can be more like the domain. Then, as after a chain, the source
is given the change by the detail transfer; beside it the small picture merely enlarged, without the source's detail.
Realism, rate and content as in `cf-translate evaluate`. Content says little here: the pictures show other things.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models.config import Upsampling
from translate.metrics.evaluation import open_bench
from translate.metrics.folders import Folders, training_twin
from translate.metrics.networks import NAMES, as_tensor
from translate.metrics.pairs import by_name, squares
from translate.upsample import guided_upsample

SIDE = 256


def reduced(picture: Image.Image, size: int) -> Image.Image:
    return picture.resize((size, size), Image.Resampling.BOX)


def tensor(picture: Image.Image) -> Tensor:
    """(1, 3, h, w) in [-1, 1]."""
    return as_tensor([picture]).float() / 127.5 - 1


def carried(source: Image.Image, donor: Image.Image, size: int) -> Image.Image:
    """The source, with the change that turns it into the donor at `size` px."""
    before, after = (tensor(reduced(picture, size)) for picture in (source, donor))
    return Image.fromarray(guided_upsample(np.asarray(source), before, after, Upsampling()))


def enlarged(source: Image.Image, donor: Image.Image, size: int) -> Image.Image:
    return reduced(donor, size).resize(source.size, Image.Resampling.BICUBIC)


WAYS: dict[str, Callable[[Image.Image, Image.Image, int], Image.Image]] = {
    "with the source's detail": carried,
    "merely enlarged": enlarged,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--sizes", default="16,32,64,128")
    parser.add_argument("--network", choices=NAMES, default="efficientnet-lite2")
    parser.add_argument("--features", type=Path)
    options = parser.parse_args()

    if (training := training_twin(options.target)) is None:
        parser.error("the target's folder must be named testX, and have a folder trainX beside it")
    bench, _, _ = open_bench(
        Folders(options.source, options.target), [options.network], options.features, size=SIDE, say=print
    )
    donors = list(squares(by_name(training), SIDE, print).values())
    pairs = list(zip(bench.sources, cycle(donors), strict=False))

    table = Table("size", "way", "KID x100", "rate", "content")

    def add(size: str, way: str, outputs: Sequence[Image.Image]) -> None:
        figures = bench.measure(outputs)
        judged = figures.networks[options.network]
        content = "-" if figures.content is None else f"{figures.content:.3f}"
        table.add_row(size, way, f"{judged.kid_x100:.1f}", f"{judged.rate.share:.2f}", content)

    add("-", "untouched", bench.sources)
    for size in map(int, options.sizes.split(",")):
        for way, make in WAYS.items():
            add(f"{size} px", way, [make(source, donor, size) for source, donor in pairs])
    add(f"{SIDE} px", "the pictures themselves", [donor for _, donor in pairs])
    Console().print(table)


if __name__ == "__main__":
    main()
