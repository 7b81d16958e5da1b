"""Models and training states on disk: safetensors with the configuration inside, written whole or not at all.

Never pickle: a file somebody sends can only hold numbers and a JSON text, and both are checked before use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from models.energy import Energy, EnergyConfig
from models.files import whole_file
from models.schedule import Ladder, ladder_from_dict

FORMAT = 1
FILE_NAME = "model.safetensors"  # what a run folder and a Hub repository call their model
KEY = "cf-translate"  # where the JSON text stands in the safetensors header


class BadModel(ValueError):
    """A model file that cannot be used; the message is one plain sentence."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything but the weights.

    network: the shape of the energy. ladder: the coarse-to-fine chain, with the steps
    it was trained with. strength: the chain length
    that looked best on test pictures, relative to training; the default at use. source, target: the two domains in
    words ("apples", "oranges"); a source of None means that chains start at noise. trained: notes for people, such as
    iterations and seconds.
    """

    network: EnergyConfig
    ladder: Ladder
    strength: float = 1.0
    source: str | None = None
    target: str = ""
    trained: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 2:
            raise ValueError(f"strength must lie in (0, 2], not {self.strength}")
        known = set(self.network.resolutions)
        if not {stage.resolution for stage in self.ladder.stages} <= known:
            raise ValueError(f"the ladder needs resolutions that the network lacks; it has {sorted(known)}")


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` at `path`: a reader sees the old file or the new one, never a part. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def save_model(path: Path, weights: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Write one model file. `weights` is the state dict of a plain `Energy` (no spectral norm)."""
    header = {KEY: json.dumps({"format": FORMAT, "kind": "model", **asdict(config)})}
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    write_whole(path, to_bytes(tensors, metadata=header))


def load_model(path: Path) -> tuple[Energy, ModelConfig]:
    """Read a model file. Returns the network in evaluation mode, on the CPU, and its configuration.

    Raises BadModel, with a sentence that says what is wrong with the file.
    """
    tensors, meta = _read(path)
    if meta.get("kind") != "model":
        raise BadModel(f"{path.name} is a training state, not a model; use {FILE_NAME} beside it")
    try:
        config = _config(meta)
    except (KeyError, TypeError, ValueError) as error:
        raise BadModel(f"{path.name} holds a configuration this version cannot read: {error}") from error
    if any(value.dtype != torch.float32 for value in tensors.values()):
        raise BadModel(f"{path.name} holds weights that are not 32-bit floats")
    try:
        # On the meta device the shapes are compared before any memory is taken, and no random number is drawn.
        with torch.device("meta"):
            energy = Energy(config.network)
        energy.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        raise BadModel(f"the weights in {path.name} do not fit its own configuration") from error
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise BadModel(f"{path.name} holds weights that are not finite numbers")
    return energy.eval().requires_grad_(False), config


def save_state(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a training state: named tensors and a JSON-able mapping."""
    header = {KEY: json.dumps({"format": FORMAT, "kind": "state", **meta})}
    write_whole(path, to_bytes({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata=header))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_state` wrote. Raises BadModel."""
    tensors, meta = _read(path)
    if meta.get("kind") != "state":
        raise BadModel(f"{path.name} is a model, not a training state")
    return tensors, meta


def digest(path: Path) -> str:
    """The first 12 hexadecimal digits of the file's SHA-256: names these very weights."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        # The weights of a model are a megabyte or two: cheap to hold, and no file stays mapped.
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise BadModel(f"there is no file {path.name}") from error
    except (OSError, SafetensorError) as error:
        raise BadModel(
            f"{path.name} is not a safetensors file; other formats are refused, since they can run code"
        ) from error
    try:
        meta = json.loads(header[KEY])
        version = meta["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadModel(f"{path.name} was not written by cf-translate") from error
    if version != FORMAT:
        raise BadModel(f"{path.name} has format {version}, this version reads {FORMAT}")
    return tensors, meta


def _config(meta: Mapping[str, Any]) -> ModelConfig:
    return ModelConfig(
        network=EnergyConfig(**meta["network"]),
        ladder=ladder_from_dict(meta["ladder"]),
        strength=float(meta["strength"]),
        source=meta["source"],
        target=str(meta["target"]),
        trained=dict(meta["trained"]),
    )
