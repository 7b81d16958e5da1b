"""Where a picture differs from those of the other domain: a classifier of the two that votes place by place.

The energy is a mean over places and has no say in where an object ends: it turns the table orange with the apples. But
tables occur in both domains, apples in one. A classifier of whole pictures that is a mean of votes of their places
tells which places speak for a domain (class activation maps: Zhou et al., CVPR 2016), without anybody drawing outlines.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 64  # pixels of the short side of the copy that it looks at
GROUND = 0.25  # the share of a picture's places that count as ground, whatever they say


class Locator(nn.Module):
    """Votes: pictures (B, 3, h, w) in [-1, 1], their short side near SIDE -> (B, h / 4, w / 4).

    Above 0 where a place speaks for the source domain, below where for the target domain. A vote looks at 21 x 21 px.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 24, 1), (24, 32, 2), (32, 48, 1), (48, 64, 2), (64, 64, 1)):
            # Normalised over batches, not over each picture: an object must not sway the votes of its ground.
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, padding_mode="reflect"),
                nn.BatchNorm2d(outputs), nn.SiLU(),
            ]  # fmt: skip
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, 1, 1))

    def weights(self) -> dict[str, Tensor]:
        """The state dict without the counters of batches, which it loads without: a model file holds floats alone."""
        return {name: value for name, value in self.state_dict().items() if value.is_floating_point()}

    def forward(self, x: Tensor) -> Tensor:
        votes: Tensor = self.layers(x).squeeze(1)
        return votes


@torch.no_grad()
def evidence(locator: Locator, pictures: Tensor) -> Tensor:
    """How much each pixel shows what the two domains differ in: (B, 3, h, w) in [-1, 1] -> (B, 1, h, w), 0 or more.

    The strength of its place's vote, for either domain, beyond that of the ground. A green apple may speak for oranges,
    but it speaks.
    """
    height, width = pictures.shape[-2:]
    scale = SIDE / min(height, width)
    small = F.interpolate(pictures, (round(scale * height), round(scale * width)), mode="area")
    told = locator.eval()(small).abs()
    ground = told.flatten(1).quantile(GROUND, dim=1).view(-1, 1, 1)
    beyond = (told - ground).clamp(min=0).unsqueeze(1)
    return F.interpolate(beyond, (height, width), mode="bilinear", align_corners=False)
