"""SqueezeNet 1.1 (Iandola et al. 2016): a feature network, and the backbone of LPIPS.

Its weights are torchvision's, fetched once; or those of a features file (.npz, keys `features.N...` in torchvision's
layout), whose network takes pixels 0..255 in BGR order minus the Caffe means. These are rewritten for torchvision's
input, an exact step: the first convolution absorbs order, scale and means.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)  # of R, G, B
SIDE = 224
_WEIGHTS = SqueezeNet1_1_Weights.DEFAULT
_AT_ONCE = 16


class FeaturesError(ValueError):
    """A feature network's weights cannot be had; the message is one sentence for people."""


def squeezenet(file: Path | None = None, say: Callable[[str], None] = lambda sentence: None) -> nn.Sequential:
    """The feature layers: normalised RGB (B, 3, H, W) -> (B, 512, h, w). Raises FeaturesError."""
    with weights_at_hand(file, say), torch.random.fork_rng(devices=[]):
        features: nn.Sequential = squeezenet1_1(weights=_WEIGHTS, progress=False).features
    return features.eval().requires_grad_(False)


class Lpips:
    """LPIPS v0.1 with SqueezeNet (Zhang et al. 2018) by torchmetrics, on pictures of 224 x 224 px.

    Its learned weightings belong to torchvision's weights; over a file with those of another training it is LPIPS-like.
    """

    def __init__(self, file: Path | None = None, device: torch.device | str = "cpu") -> None:
        """Raises FeaturesError."""
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        with weights_at_hand(file), torch.random.fork_rng(devices=[]):
            metric = LearnedPerceptualImagePatchSimilarity("squeeze", reduction="none", normalize=True)
        self.device = torch.device(device)
        self._metric = metric.to(self.device)

    @torch.inference_mode()
    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Two (N, 3, H, W) RGB 0..255 of one shape -> (N,); 0 for equal pictures. Raises ValueError."""
        if a.shape != b.shape:
            raise ValueError(f"LPIPS needs equal shapes, not {tuple(a.shape)} and {tuple(b.shape)}")
        pairs = zip(a.split(_AT_ONCE), b.split(_AT_ONCE), strict=True)
        return torch.cat([self._metric(*map(self._prepared, pair)).reshape(-1).cpu() for pair in pairs])

    def _prepared(self, x: Tensor) -> Tensor:
        x = x.to(self.device, torch.float32) / 255
        return F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


@contextmanager
def weights_at_hand(file: Path | None, say: Callable[[str], None] = lambda sentence: None) -> Iterator[None]:
    """In here torchvision, and who builds on it, finds SqueezeNet's weights. Raises FeaturesError, also for a failed
    download inside."""
    if file is None and not _downloaded():
        say("fetching the weights of SqueezeNet 1.1 (5 MB), once")
    try:
        # torch tells of a download on stdout, where results go.
        with redirect_stdout(sys.stderr), nullcontext() if file is None else _as_if_downloaded(_converted(file)):
            yield
    except (OSError, RuntimeError) as error:  # no network, or a download that was cut short
        raise FeaturesError(
            "the weights of SqueezeNet 1.1 cannot be downloaded; --features FILE.npz names a file with them"
        ) from error


def _downloaded() -> bool:
    return Path(torch.hub.get_dir(), "checkpoints", _WEIGHTS.url.rpartition("/")[2]).is_file()


@contextmanager
def _as_if_downloaded(state: dict[str, Tensor]) -> Iterator[None]:
    before = torch.hub.get_dir()
    with TemporaryDirectory() as place:
        checkpoints = Path(place, "checkpoints")
        checkpoints.mkdir()
        torch.save(state, checkpoints / _WEIGHTS.url.rpartition("/")[2])
        torch.hub.set_dir(place)
        try:
            yield
        finally:
            torch.hub.set_dir(before)


def _converted(file: Path) -> dict[str, Tensor]:
    """The whole network's state as torchvision has it, its unused classifier empty. Raises FeaturesError."""
    given = {f"features.{key.removeprefix('features.')}": torch.from_numpy(a) for key, a in _read(file).items()}
    with torch.random.fork_rng(devices=[]):
        empty = squeezenet1_1(weights=None)
    state = {key: torch.zeros_like(value) for key, value in empty.state_dict().items()}
    wanted = {key for key in state if key.startswith("features.")}
    if given.keys() != wanted or any(given[key].shape != state[key].shape for key in wanted):
        raise FeaturesError(f"{file.name} does not hold the SqueezeNet 1.1 features (features.0.weight ...)")
    state |= given
    rgb = state["features.0.weight"].flip(1).double()
    mean, std, caffe = (torch.tensor(v, dtype=torch.double).view(1, 3, 1, 1) for v in _INPUTS)
    moved = state["features.0.bias"] + (rgb * (255 * mean - caffe)).sum((1, 2, 3))
    state["features.0.weight"], state["features.0.bias"] = (rgb * 255 * std).float(), moved.float()
    return state


_INPUTS = IMAGENET_MEAN, IMAGENET_STD, CAFFE_MEAN


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except FileNotFoundError:
        raise FeaturesError(f"there is no features file {path}") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise FeaturesError(f"{path.name} is not a readable .npz file") from error
