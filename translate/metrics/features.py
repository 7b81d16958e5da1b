"""SqueezeNet 1.1 as a measuring device: pooled features and a content distance.

Iandola et al., "SqueezeNet", 2016 (version 1.1). Two sources of weights, each with its own preprocessing:

* a features file (.npz, keys `features.N...`, torchvision's layout): pixels 0..255 in BGR order minus the Caffe means;
* without a file, torchvision's own ImageNet weights: RGB in 0..1, ImageNet mean and standard deviation.

Figures from the two must not be compared with each other, and neither with figures from an Inception network.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from PIL import Image

LINEAR_LAYERS = "lpips_v0.1_squeeze.npz"
INPUT_SIZE = 224

# The layers whose outputs LPIPS v0.1 ("squeeze") compares, and their channels.
TAPS = {1: 64, 4: 128, 7: 256, 9: 384, 10: 384, 11: 512, 12: 512}


# Beside a checkout of the project, where its own figures were made.
NEARBY = Path(__file__).parents[3] / "shared" / "weights" / "squeezenet1_1_features.npz"


def nearby_features() -> Path | None:
    """The features file beside the checkout, or None where there is none."""
    return NEARBY if NEARBY.is_file() else None


class FeaturesError(ValueError):
    """The feature network's weights cannot be had; the message is one sentence for people."""


@dataclass(frozen=True)
class SqueezeFeatures:
    """The frozen feature network. Pictures go in as (B, 3, H, W), RGB, 0..255, uint8 or float.

    `offset` and `scale` are (1, 3, 1, 1): the network sees `(pixels - offset) / scale`, in its own channel order.
    `linear` are the seven LPIPS weightings (1, C, 1, 1), or None where their file is missing.
    `source` says in words where the weights are from.
    """

    layers: nn.Sequential
    offset: Tensor
    scale: Tensor
    reverse_channels: bool
    linear: tuple[Tensor, ...] | None
    source: str

    @classmethod
    def load(cls, path: Path | str | None = None, device: torch.device | str = "cpu") -> SqueezeFeatures:
        """Load from a features file, or torchvision's weights without one.

        `lpips_v0.1_squeeze.npz` is looked for beside the features file; without it `content_distance` is None.
        Raises FeaturesError when no weights can be had or a file does not fit.
        """
        if path is None:
            return cls._from_torchvision(device)
        path = Path(path)
        arrays = _read_npz(path)
        layers = _empty_layers()
        try:
            layers.load_state_dict(
                {key.removeprefix("features."): torch.from_numpy(array) for key, array in arrays.items()}
            )
        except (RuntimeError, TypeError) as error:
            raise FeaturesError(f"{path} does not hold the SqueezeNet 1.1 features (features.0.weight ...).") from error
        return cls(
            layers=layers.eval().requires_grad_(False).to(device),
            offset=torch.tensor([103.939, 116.779, 123.68], device=device).view(1, 3, 1, 1),
            scale=torch.ones(1, 3, 1, 1, device=device),
            reverse_channels=True,
            linear=_linear_layers(path.parent / LINEAR_LAYERS, device),
            source=f"SqueezeNet 1.1 from {path.name}",
        )

    @classmethod
    def _from_torchvision(cls, device: torch.device | str) -> SqueezeFeatures:
        from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

        try:
            network = squeezenet1_1(weights=SqueezeNet1_1_Weights.DEFAULT, progress=False)
        except (OSError, RuntimeError) as error:  # no network, or a download that was cut short
            raise FeaturesError(
                "The measures need SqueezeNet 1.1: no features file was given and torchvision's weights "
                "cannot be downloaded; pass --features FILE.npz."
            ) from error
        return cls(
            layers=network.features.eval().requires_grad_(False).to(device),
            offset=255 * torch.tensor([0.485, 0.456, 0.406], device=device).view(1, 3, 1, 1),
            scale=255 * torch.tensor([0.229, 0.224, 0.225], device=device).view(1, 3, 1, 1),
            reverse_channels=False,
            linear=None,
            source="SqueezeNet 1.1 from torchvision",
        )

    @property
    def device(self) -> torch.device:
        return self.offset.device

    @torch.inference_mode()
    def pooled(self, pictures: Tensor, batch: int = 32) -> Tensor:
        """(B, 3, H, W) RGB 0..255 -> (B, 512): the last features of the central 224 px, averaged over positions.

        Pictures of 256 px lose 16 px on every side; a picture whose short side is below 224 is enlarged first.
        """
        return torch.cat([self.layers(_centre(part)).mean((2, 3)) for part in self._prepared(pictures, batch)])

    @torch.inference_mode()
    def content_distance(self, a: Tensor, b: Tensor, batch: int = 16) -> Tensor | None:
        """Two (B, 3, H, W) RGB 0..255 of one shape -> (B,), 0 for equal pictures; None without linear layers.

        The LPIPS construction (Zhang et al. 2018, v0.1, "squeeze") on the whole pictures, their short side at 224 px:
        at seven depths the features are normalised over channels, their squared difference is weighted by learnt
        layers, averaged over positions and summed over depths. The layers were fitted to another training of this
        network, hence "LPIPS-like".
        """
        if self.linear is None:
            return None
        if a.shape != b.shape:
            raise ValueError(f"content_distance needs equal shapes, not {tuple(a.shape)} and {tuple(b.shape)}")
        parts = []
        for left, right in zip(self._prepared(a, batch), self._prepared(b, batch), strict=True):
            total = torch.zeros(len(left), device=self.device)
            taps = self._taps(_short_side(left)), self._taps(_short_side(right))
            for weight, tap_a, tap_b in zip(self.linear, *taps, strict=True):
                total += (weight * (tap_a - tap_b).square()).sum(1).mean((1, 2))
            parts.append(total)
        return torch.cat(parts)

    def _prepared(self, pictures: Tensor, batch: int) -> Iterator[Tensor]:
        for part in pictures.split(batch):
            pixels = part.to(self.device, torch.float32)
            yield ((pixels.flip(1) if self.reverse_channels else pixels) - self.offset) / self.scale

    def _taps(self, x: Tensor) -> Iterator[Tensor]:
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in TAPS:
                yield x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)


def as_tensor(pictures: list[Image.Image]) -> Tensor:
    """PIL pictures of one size -> (N, 3, H, W) uint8, RGB."""
    return torch.from_numpy(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])).permute(0, 3, 1, 2)


def _centre(x: Tensor) -> Tensor:
    if min(x.shape[-2:]) < INPUT_SIZE:
        x = _short_side(x)
    top, left = ((side - INPUT_SIZE) // 2 for side in x.shape[-2:])
    return x[..., top : top + INPUT_SIZE, left : left + INPUT_SIZE]


def _short_side(x: Tensor) -> Tensor:
    factor = INPUT_SIZE / min(x.shape[-2:])
    size = [round(side * factor) for side in x.shape[-2:]]
    return nn.functional.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)


def _empty_layers() -> nn.Sequential:
    from torchvision.models import squeezenet1_1

    return squeezenet1_1(weights=None).features


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except FileNotFoundError:
        raise FeaturesError(
            f"there is no features file {path}; without --features torchvision's weights are used, and fetched once"
        ) from None
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise FeaturesError(f"{path} is not a readable .npz file.") from error


def _linear_layers(path: Path, device: torch.device | str) -> tuple[Tensor, ...] | None:
    if not path.is_file():
        return None
    arrays = _read_npz(path)
    try:
        weights = [torch.from_numpy(arrays[f"lin{k}.model.1.weight"]) for k in range(len(TAPS))]
        return tuple(
            weight.float().reshape(1, channels, 1, 1).to(device)
            for weight, channels in zip(weights, TAPS.values(), strict=True)
        )
    except (KeyError, RuntimeError) as error:
        raise FeaturesError(f"{path} does not hold the seven LPIPS layers (lin0.model.1.weight ...).") from error
