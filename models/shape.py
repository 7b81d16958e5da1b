"""Shape: pictures bent by a flow, which a chain moves as it moves colours.

A flow (B, 2, h, w) says for each place of the bent picture how far away, across and down, to look into the unbent one:
in units of half the picture's SHORT side, so that it is the same at all resolutions, and as far one way as the other.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SPREAD = 1 / 8  # of a training picture's side: standard deviation of the Gaussian that smooths how a flow moves


def warped(picture: Tensor, flow: Tensor) -> Tensor:
    """A picture (B, C, h, w) bent by a flow (B, 2, h, w), bilinear, what lies beyond its border reflected.

    Where the flow is 0, the picture is given back to the bit. It has a gradient by the flow, also there.
    """
    height, width = picture.shape[-2:]
    down, across = ((torch.arange(side).to(flow) * 2 + 1) / side - 1 for side in (height, width))
    places = torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1], -1)
    # The sampler counts in half heights and half widths.
    looks = flow.permute(0, 2, 3, 1) * (min(height, width) / flow.new_tensor([width, height]))
    sampled = F.grid_sample(picture, places + looks, mode="bilinear", padding_mode="reflection", align_corners=False)
    # Places that are not exact in binary cost it the last bits.
    still = (flow == 0).all(dim=1, keepdim=True)
    return torch.where(still, picture.detach() + (sampled - sampled.detach()), sampled)


def smoothed(slope: Tensor, sigma: float) -> Tensor:
    """The slope of an energy by a flow, (B, 2, h, w), smoothed by a Gaussian of `sigma` pixels.

    Steps down it let neighbours move together, so that the picture stays in one piece. As the slope in a smoother inner
    product it still leads downhill (Sobolev gradients: Neuberger, 1997; for flows between pictures Beg et al., IJCV
    2005).
    """
    reach = max(1, int(2.5 * sigma))
    bell = torch.exp(-torch.arange(-reach, reach + 1).to(slope).square() / (2 * sigma**2))
    bell = (bell / bell.sum()).expand(slope.shape[1], 1, -1)
    padded = F.pad(slope, (reach, reach, reach, reach), mode="replicate")
    across = F.conv2d(padded, bell.unsqueeze(2), groups=slope.shape[1])
    return F.conv2d(across, bell.unsqueeze(3), groups=slope.shape[1])
