"""Detail by example: what target pictures show, place by place, that look like a coarse picture there.

At 32 px an eye is a blot, or two, or none. What it should be there and at 64 px, the target's pictures say whose 32 px
look like it around that place: their relief and fine detail, averaged by kernel regression with weights of its own at
each place. It is the hallucination of faces by position-patches (Ma, Zhang, Qi, Pattern Recognition 2010), and holds
where pictures are aligned.

No picture of the target stands in a model's file: each is kept as what the others make of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.detail import luma, means
from models.energy import enlarged, pooled
from models.thinning import thinned

FINE = 64  # pixels
COARSE = FINE // 2
EXAMPLES = 256  # at most; their mirror images count too
WINDOW = 9  # coarse pixels around a place that are compared
OTHER_SIDE = 0.5  # of what the mirrored place tells: the two eyes of a face come from the same pictures
LEVEL = 15  # coarse pixels whose mean light is taken off before: a white cat has the eyes of a black one
NEIGHBORS = 4  # the kernel is as wide as the distance to the neighbour of this rank
WIDTH = 0.1  # times that, in squares
BLEND = 0.06  # the same for what pictures are kept as: two or three others count at each place
_SMALLEST = 1e-5  # width in squares, on the [-1, 1] scale, below which pictures are one


class ExampleDetail(nn.Module):
    """Small blends of a domain's pictures; `fit` makes them.

    luma: (EXAMPLES, FINE, FINE), without the large differences of light; zeros where there are fewer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("luma", torch.zeros(EXAMPLES, FINE, FINE))

    @torch.no_grad()
    def fit(self, pictures: Tensor) -> None:
        """From pictures (N, 3, S, S) in [-1, 1]; of a single one nothing is kept."""
        small = luma(F.interpolate(thinned(pictures, EXAMPLES), (FINE, FINE), mode="area"))
        known, detail = _examples(small)
        count = len(small)
        kept = self.get_buffer("luma").zero_()
        for number in range(count if count > 1 else 0):
            others = [n for n in range(2 * count) if n not in (number, count + number)]
            weights = _weights(known[number], known[others], BLEND)
            kept[number] = _blend(weights, known[others], detail[others])[0]

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Coarse pictures (B, 3, h, w) in [-1, 1] -> the change at twice the size, (B, 1, 2h, 2w) for all channels
        alike, that gives them the relief and the fine detail of examples. Zeros without examples."""
        fine = self.get_buffer("luma")
        fine = fine[fine.flatten(1).any(1)][:, None]
        size = (2 * x.shape[-2], 2 * x.shape[-1])
        if not len(fine):
            return x.new_zeros(len(x), 1, *size)
        known, detail = _examples(fine)
        asked = _relief(luma(F.interpolate(x, (COARSE, COARSE), mode="area")))
        found = torch.stack([_blend(_weights(one, known, WIDTH), known, detail) for one in asked])
        # An average is flatter than what it is of.
        strength = asked.std((2, 3), keepdim=True) / pooled(found, 2).std((2, 3), keepdim=True).clamp(min=1e-3)
        return F.interpolate(strength * found - enlarged(asked), size, mode="bilinear", align_corners=False)


def _blend(weights: Tensor, known: Tensor, detail: Tensor) -> Tensor:
    """What examples show, (N, COARSE, COARSE) and (N, FINE, FINE), with their weights at each coarse pixel:
    (1, FINE, FINE). One at a time: the weights of one at FINE px take 8 MB."""
    coarse = (weights * known).sum(0)[None, None]
    return enlarged(coarse)[0] + (enlarged(weights[:, None])[:, 0] * detail).sum(0)


def _examples(light: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (N, 1, FINE, FINE) and their mirror images -> what is compared, (2N, COARSE, COARSE), and what is finer,
    (2N, FINE, FINE)."""
    both = torch.cat([light, light.flip(3)])
    coarse = pooled(both, 2)
    return _relief(coarse)[:, 0], (both - enlarged(coarse))[:, 0]


def _weights(asked: Tensor, known: Tensor, width: float) -> Tensor:
    """(..., COARSE, COARSE) beside (N, COARSE, COARSE) -> how much each of these counts where, with the sum 1."""
    far = means((asked - known).square(), WINDOW)
    far = far + OTHER_SIDE * far.flip(-1)
    nearest = far.kthvalue(min(NEIGHBORS, len(far)), dim=0).values
    return torch.softmax(-far / (width * nearest).clamp(min=_SMALLEST), 0)


def _relief(light: Tensor) -> Tensor:
    return light - means(light, LEVEL)
