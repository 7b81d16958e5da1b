"""How a photo's fine detail is carried to a level that the chain has not reached yet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.energy import enlarged

WINDOW = 7  # pixels of the coarse level within which two pictures are compared
EVEN = 0.002  # variance, on the [-1, 1] scale, below which a window counts as even, and as alike


def carried(reached: Tensor, source: Tensor, finer: Tensor, power: float, missing: Tensor | None = None) -> Tensor:
    """What a coarse level has reached, with the source's finer detail where it still fits: (B, 3, 2h, 2w) in [-1, 1].

    reached, source: (B, 3, h, w). finer: the source at the next level. power: see `kept`. Where the picture has become
    another one, the whiskers of the cat that it was would lie over it like a second exposure; there the next level
    draws its own, or begins with what is `missing`, (B, 1, 2h, 2w). Without a change the result is `finer`.
    """
    share = enlarged(kept(source, reached, power))
    detail = share * (finer - enlarged(source))
    if missing is not None:
        detail = detail + (1 - share) * missing
    return (enlarged(reached) + detail).clamp(-1, 1)


def kept(source: Tensor, reached: Tensor, power: float) -> Tensor:
    """The share of the source's detail that stays at each place: (B, 3, h, w) twice -> (B, 1, h, w) in [0, 1].

    power: of the likeness; 0 keeps all, and the higher, the less of what is half alike.
    """
    if not power:  # frames of fruit and styles ask this at every step
        return torch.ones_like(source[:, :1])
    return means(likeness(source, reached) ** power)


def likeness(one: Tensor, other: Tensor) -> Tensor:
    """How alike two pictures (B, 3, h, w) are in the window around each place: (B, 1, h, w) in [0, 1].

    The local correlation of their luma, the structure term of SSIM (Wang et al., IEEE TIP 2004) without its sign.
    """
    a, b = (x.mean(1, keepdim=True) for x in (one, other))
    a, b = a - means(a), b - means(b)
    both = means(a * b) + EVEN
    alike = both / ((means(a * a) + EVEN) * (means(b * b) + EVEN)).sqrt()
    return alike.clamp(0, 1)


def luma(x: Tensor) -> Tensor:
    """Pictures (B, 3, h, w) -> their light as television weighs it (ITU-R BT.601): (B, 1, h, w)."""
    return torch.einsum("c,bchw->bhw", x.new_tensor([0.299, 0.587, 0.114]), x)[:, None]


def means(x: Tensor, window: int = WINDOW) -> Tensor:
    """Over the window around each place, of what lies inside the picture: (B, C, h, w), the same shape. Odd windows."""
    return F.avg_pool2d(x, window, 1, window // 2, count_include_pad=False)
