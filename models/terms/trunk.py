"""The trunk: the frozen features that perceptual energies are built on.

EfficientNet-Lite0 (Tan & Le, ICML 2019; the Lite variant of 2020, Apache-2.0), trained on ImageNet, with its batch
norms folded into the convolutions, cut behind the last tap. One file serves all models; each names it by its digest.
`models/terms/convert_trunk.py` makes the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import BadModel
from models.fingerprint import fingerprint

if TYPE_CHECKING:
    from typing_extensions import Self

FILE = Path(__file__).parent.parent / "weights" / "trunk" / "efficientnet_lite0.safetensors"
STEM = 32  # channels
# kernel, stride, expansion, channels, repeats
_STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
           (3, 1, 6, 320, 1))  # fmt: skip
CPU = torch.device("cpu")
LAST = 15  # the last block, of 0..15, that the file holds


@dataclass(frozen=True)
class BlockShape:
    """One inverted bottleneck. stride: its own; reduction: from the picture to its output, in pixels."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    expansion: int
    reduction: int


def block_shapes() -> list[BlockShape]:
    """The trunk's blocks, in order."""
    shapes: list[BlockShape] = []
    channels, reduction = STEM, 2
    for kernel, stride, expansion, outputs, repeats in _STAGES:
        for repeat in range(repeats):
            own = stride if repeat == 0 else 1
            reduction *= own
            shapes.append(BlockShape(channels, outputs, kernel, own, expansion, reduction))
            channels = outputs
    return shapes


SHAPES = block_shapes()


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: the odd row of a stride goes to the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, right = (max(0, (math.ceil(side / stride) - 1) * stride + kernel - side) for side in x.shape[-2:])
        if down == right and down % 2 == 0:
            return F.conv2d(x, self.weight, self.bias, self.stride, down // 2, groups=self.groups)
        x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


class Block(nn.Module):
    """Inverted bottleneck with linear output: (B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        inner = shape.inputs * shape.expansion
        self.expand = SameConv(shape.inputs, inner, 1) if shape.expansion > 1 else None
        self.depthwise = SameConv(inner, inner, shape.kernel, shape.stride, groups=inner)
        self.project = SameConv(inner, shape.outputs, 1)
        self.residual = shape.stride == 1 and shape.inputs == shape.outputs

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        h = self.project(F.relu6(self.depthwise(h), inplace=True))
        return x + h if self.residual else h


class Trunk(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] -> features at the taps, each (B, C, H / reduction, W / reduction).

    Frozen: its weights get no gradient. Computes no further than the last tap asked for. `digest` names its weights.
    """

    def __init__(self, last: int = LAST, digest: str = "") -> None:
        super().__init__()
        self.digest = digest
        self.stem = SameConv(3, STEM, 3, 2)
        self.blocks = nn.ModuleList(Block(shape) for shape in SHAPES[: last + 1])

    def forward(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        h, found = F.relu6(self.stem(x), inplace=True), {}
        for number in range(max(taps) + 1):
            h = self.blocks[number](h)
            if number in taps:
                found[number] = h
        return [found[tap] for tap in taps]


class OnTrunk(nn.Module):
    """A module that reads a trunk and shares it with others: the trunk is no part of its state dict."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self._trunk = (trunk,)  # in a tuple, for torch not to take it for a part of this

    @property
    def trunk(self) -> Trunk:
        return self._trunk[0]

    def on(self, device: torch.device) -> Self:
        """A copy on a device, which reads the trunk there. Only for modules that are made of nothing but a trunk."""
        moved = type(self)(load_trunk(device=device)).to(device)
        moved.load_state_dict(self.state_dict())
        return moved


@cache
def load_trunk(path: Path = FILE, device: torch.device = CPU) -> Trunk:
    """The shipped trunk, in float32, on a device. Read once per process and device, shared by all models there.

    Raises BadModel for a file that is missing, cut or not the trunk.
    """
    with torch.device("meta"):
        trunk = Trunk()
    wanted = {name: value.shape for name, value in trunk.state_dict().items()}
    again = "install cf-translate again, it comes with it"
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise BadModel(f"the trunk {path.name} is missing; {again}") from error
    except (OSError, SafetensorError) as error:
        raise BadModel(f"the trunk {path.name} is damaged; {again}") from error
    if {name: value.shape for name, value in tensors.items()} != wanted:
        raise BadModel(f"{path.name} is not the trunk of cf-translate; {again}")
    trunk.digest = fingerprint(tensors)[:12]
    trunk.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    frozen: Trunk = trunk.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return frozen
