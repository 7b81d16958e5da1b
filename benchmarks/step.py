"""What one step of a chain costs, and what would make it cheaper: python -m benchmarks.step [MODEL] [--turns 5]

Energy and gradient of one picture at the finest level of a model's votes, on one thread: as they are, without parts of
the energy, and by other engines. likeness: the cosine between the gradient and that of the whole energy, on a noisy
photo. ready: seconds until the first gradient is there; a program that compiles pays them for every shape.
OpenVINO is tried where it is installed (pip install openvino); nothing else here needs it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from models.energy import EnergyFn, energy_and_grad
from models.student import level_of
from models.terms.perceptual import PerceptualEnergy
from models.terms.textured import TexturedEnergy
from models.terms.trunk import SHAPES
from models.terms.votes import PIXEL_REDUCTION
from translate import Translator

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
NOISE = 0.05
Gradient = Callable[[Tensor], Tensor]


def photo(side: int) -> Tensor:
    """An orange, with noise, (1, 3, side, side)."""
    picture = Image.open(SAMPLES / "oranges_on_table.jpg").convert("RGB").resize((side, side))
    x = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    torch.manual_seed(0)
    return (x + NOISE * torch.randn_like(x)).contiguous(memory_format=torch.channels_last)


def part_of(energy: PerceptualEnergy, side: int, last: int, pixels: bool) -> EnergyFn:
    """The energy with the heads up to one block of the trunk, with or without the pixel network."""
    votes, magnification = energy.term(side), energy.config.magnification(side)
    taps = [tap for tap in votes.taps if tap <= last]

    def total(x: Tensor) -> Tensor:
        features = energy.trunk(F.interpolate(x, scale_factor=magnification) if magnification > 1 else x, taps)
        sums = []
        for number, (tap, h) in enumerate(zip(taps, features, strict=True)):
            mean, deviation = votes.get_buffer(f"mean{number}"), votes.get_buffer(f"deviation{number}")
            standard = (h - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)
            sums.append(votes.heads[number](standard).sum((1, 2, 3)) / (votes.side / SHAPES[tap].reduction) ** 2)
        if pixels:
            sums.append(votes.pixels(x).sum((1, 2, 3)) / (side / PIXEL_REDUCTION) ** 2)
        return torch.stack(sums).sum(0)

    return total


def traced(energy: EnergyFn, x: Tensor) -> torch.fx.GraphModule:
    """Energy and gradient as one graph without autograd, whose convolutions backwards are transposed ones."""
    from torch._decomp import core_aten_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    convolution = torch.ops.aten.convolution

    def backward(grad: Tensor, x: Tensor, w: Tensor, _: Any, stride: Any, pad: Any, dilation: Any, *more: Any) -> Any:
        transposed, _, groups, _ = more
        rest = [
            x.shape[2 + i] - ((grad.shape[2 + i] - 1) * stride[i] - 2 * pad[i] + dilation[i] * (w.shape[2 + i] - 1) + 1)
            for i in range(2)
        ]
        return convolution(grad, w, None, stride, pad, dilation, not transposed, rest, groups), None, None

    known: dict[Any, Any] = dict(core_aten_decompositions())
    known[torch.ops.aten.convolution_backward.default] = backward

    def relu6(x: Tensor, inplace: bool = False) -> Tensor:
        return F.hardtanh(x, 0.0, 6.0)  # in place, as the trunk does it, some engines lose what was there before

    with patch("torch.nn.functional.relu6", relu6):
        graph = make_fx(lambda x: energy_and_grad(energy, x)[1], decomposition_table=known)(x)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def compiled(energy: EnergyFn, x: Tensor) -> Gradient:
    import torch._inductor.config as inductor

    inductor.freezing = True
    run = torch.compile(traced(energy, x), dynamic=False)

    @torch.no_grad()
    def gradient(x: Tensor) -> Tensor:
        found: Tensor = run(x)
        return found

    return gradient


def by_openvino(energy: EnergyFn, x: Tensor) -> Gradient:
    import openvino  # type: ignore[import-not-found]

    with torch.no_grad():
        graph = openvino.convert_model(torch.export.export(traced(energy, x), (x,)))
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
    return lambda x: torch.from_numpy(next(iter(request.infer([np.ascontiguousarray(x.numpy())]).values())))


def in_bfloat16(energy: EnergyFn, _: Tensor) -> Gradient:
    def gradient(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return energy_and_grad(energy, x)[1]

    return gradient


def main(name: str, turns: int) -> None:
    torch.set_num_threads(1)
    translator = Translator.load(name, "cpu")
    energy = translator.energy.things if isinstance(translator.energy, TexturedEnergy) else translator.energy
    if not isinstance(energy, PerceptualEnergy):
        raise SystemExit(f"{name} has no votes")
    side = level_of(translator.config)
    x, taps = photo(side), energy.term(side).taps
    whole = energy.at(side)
    ways: dict[str, Callable[[], Gradient]] = {
        "as it is": lambda: lambda x: energy_and_grad(whole, x)[1],
        "forward alone": lambda: lambda x: (whole(x.detach()), x)[1],
        "without the pixel network": lambda: _eager(part_of(energy, side, taps[-1], pixels=False)),
        f"without block {taps[-1]}": lambda: _eager(part_of(energy, side, taps[-2], pixels=True)),
        "torch.compile, frozen": lambda: compiled(whole, x),
        "bfloat16": lambda: in_bfloat16(whole, x),
        "OpenVINO": lambda: by_openvino(whole, x),
    }  # fmt: skip
    wanted, base, rows = energy_and_grad(whole, x)[1], 0.0, []
    for way, make in ways.items():
        begin = time.perf_counter()
        try:
            gradient = make()
            found = gradient(x)
        except ImportError as error:
            print(f"{way} is left out: {error}")
            continue
        ready = time.perf_counter() - begin
        cost = min(_seconds(gradient, x) for _ in range(turns))
        base = base or cost
        likeness = "-" if way == "forward alone" else f"{F.cosine_similarity(found.flatten(), wanted.flatten(), 0):.3f}"
        rows.append((way, f"{1000 * cost:.1f}", f"{cost / base:.2f}", likeness, f"{ready:.1f}"))
    table = Table("way", "ms", "ratio", "likeness", "ready, s", title=f"One step of {name} at {side} px, one thread")
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)


def _eager(energy: EnergyFn) -> Gradient:
    return lambda x: energy_and_grad(energy, x)[1]


def _seconds(gradient: Gradient, x: Tensor) -> float:
    """Of processor time, a mean of ten."""
    begin = time.process_time()
    for _ in range(10):
        gradient(x)
    return (time.process_time() - begin) / 10


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="orange2apple")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    main(options.model, options.turns)
