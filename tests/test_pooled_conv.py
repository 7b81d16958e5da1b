"""The convolution that pools is the convolution and the pooling, whatever the size."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.terms.pooled_conv import PooledConv


@pytest.mark.parametrize("size", [(8, 8), (7, 8), (8, 5), (5, 9), (3, 2), (2, 1), (1, 1)])
def test_it_equals_a_convolution_and_a_pooling_and_so_do_its_gradients(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = PooledConv(3, 5).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    plain = F.avg_pool2d(F.conv2d(x, layer.weight, layer.bias, padding=1), 2, ceil_mode=True)
    torch.testing.assert_close(layer(x), plain)
    inputs = (x, *layer.parameters())
    ours, theirs = (torch.autograd.grad(y.square().sum(), inputs) for y in (layer(x), plain))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
