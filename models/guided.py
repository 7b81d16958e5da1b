"""The guided filter: a change, explained by its source, so that it follows the source's edges where it is enlarged.

In small windows a local affine transform of the source is fitted to the change (He & Sun, "Fast Guided Filter", 2015,
here with a colour guide and regularised towards the identity). Its coefficients are smooth, so they enlarge well, and
applied to a finer picture of the same source they follow its every edge.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 0.05  # variance of pixels below which a window of a stage's picture counts as flat
KEPT = 0.5  # of what the transform cannot express: the half is texture, the other half bleeds over edges


def affine_change(source: Tensor, change: Tensor, radius: int, epsilon: float) -> tuple[Tensor, Tensor]:
    """Fit change ~ A source + b in the windows of 2 radius + 1 pixels around every pixel.

    source, change: (B, 3, h, w). Returns A (B, 3, 3, h, w), out before in, and b (B, 3, h, w), both averaged over the
    windows that a pixel lies in. `epsilon` pulls A to zero, that is the whole transform to the identity.
    """
    mean_s, mean_c = _box_mean(source, radius), _box_mean(change, radius)
    products = _box_mean(torch.einsum("bihw,bjhw->bijhw", source, torch.cat([source, change], 1)).flatten(1, 2), radius)
    products = products.unflatten(1, (3, 6)) - torch.einsum("bihw,bjhw->bijhw", mean_s, torch.cat([mean_s, mean_c], 1))
    matrices = products.permute(0, 3, 4, 1, 2)  # (B, h, w, 3, 6)
    covariance = matrices[..., :3] + epsilon * torch.eye(3, device=source.device)
    slopes = torch.linalg.solve(covariance, matrices[..., 3:]).permute(0, 4, 3, 1, 2)  # (B, out, in, h, w)
    offsets = mean_c - torch.einsum("boihw,bihw->bohw", slopes, mean_s)
    return _box_mean(slopes.flatten(1, 2), radius).unflatten(1, (3, 3)), _box_mean(offsets, radius)


def enlarge_along_edges(change: Tensor, coarse: Tensor, fine: Tensor) -> Tensor:
    """A change (B, 3, h, w) of the source `coarse` (B, 3, h, w), as one of `fine` (B, 3, 2h, 2w), the same source.

    Plain enlargement paints a fruit's new colour over the ground around it, and leaves the fruit's rim as it was.
    """
    slopes, offsets = affine_change(coarse, change, 1, EPSILON)
    explained = torch.einsum("boihw,bihw->bohw", slopes, coarse) + offsets
    fields = torch.cat([slopes.flatten(1, 2), offsets + KEPT * (change - explained)], 1)
    fields = F.interpolate(fields, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.einsum("boihw,bihw->bohw", fields[:, :9].unflatten(1, (3, 3)), fine) + fields[:, 9:]


def _box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 windows, clipped at the border: (B, C, h, w) -> the same."""
    # A window never needs to reach past the picture.
    ry, rx = min(radius, x.shape[-2] - 1), min(radius, x.shape[-1] - 1)
    return F.avg_pool2d(x, (2 * ry + 1, 2 * rx + 1), stride=1, padding=(ry, rx), count_include_pad=False)
