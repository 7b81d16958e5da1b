"""Models and training states on disk: safetensors with the configuration inside, written whole or not at all.

Never pickle: a file somebody sends can only hold numbers and a JSON text, and both are checked before use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from models.energy import Energy, EnergyConfig
from models.files import whole_file
from models.locator import Locator
from models.schedule import Ladder, ladder_from_dict
from models.zoo import FILE_NAME as FILE_NAME
from models.zoo import BadModel as BadModel

FORMAT = 1
LOCATOR = "locator."  # what the names of its tensors begin with
KEY = "cf-translate"  # where the JSON text stands in the safetensors header
MAX_BYTES = 64 * 2**20  # the presets' models take one
_FINEST, _WIDEST = 1024, 256  # what a file may ask for: pixels, and channels
_WORDS = 100  # letters of a domain's name that are kept


@dataclass(frozen=True)
class ModelConfig:
    """Everything but the weights.

    network: the shape of the energy. ladder: the coarse-to-fine chain at strength 1. strength: the chain length that
    looked best on test pictures; the default at use. zoom: training
    saw crops with 1 / zoom of a picture's sides. source, target: the two domains in
    words ("apples", "oranges"); a source of None means that chains start at noise. trained: notes for people, such as
    iterations and seconds. calibration: what was measured on training pictures for restoring pictures and judging how
    unusual they are, as translate/calibration.py writes it; empty before. located: whether a locator stands in the file
    beside the energy.
    """

    network: EnergyConfig
    ladder: Ladder
    strength: float = 1.0
    zoom: int = 1
    source: str | None = None
    target: str = ""
    trained: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    located: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 2:
            raise ValueError(f"strength must lie in (0, 2], not {self.strength}")
        if type(self.zoom) is not int or not 1 <= self.zoom <= 8:
            raise ValueError(f"zoom must be a whole number in 1..8, not {self.zoom}")
        known = set(self.network.resolutions)
        if not {stage.resolution for stage in self.ladder.stages} <= known:
            raise ValueError(f"the ladder needs resolutions that the network lacks; it has {sorted(known)}")

    @property
    def working(self) -> int:
        """Short side of the copy of a picture that the chain works on, in pixels."""
        return self.ladder.finest * self.zoom


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` at `path`: a reader sees the old file or the new one, never a part. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def save_model(path: Path, weights: Mapping[str, Tensor], config: ModelConfig, locator: Locator | None = None) -> None:
    """Write one model file. `weights` is the state dict of a plain `Energy` (no spectral norm)."""
    if locator is not None:
        weights = {**weights, **{LOCATOR + name: value for name, value in locator.weights().items()}}
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    described = {**asdict(config), "located": locator is not None}
    header = {KEY: json.dumps({"format": FORMAT, "kind": "model", "weights": _fingerprint(tensors), **described})}
    write_whole(path, to_bytes(tensors, metadata=header))


def load_model(path: Path) -> tuple[Energy, ModelConfig]:
    """Read a model file. Returns the network in evaluation mode, on the CPU, and its configuration.

    The file's size, its configuration, and the names, types and shapes of its tensors are checked, in this order,
    before memory is taken for any of them; then whether the weights are those that were saved. Raises BadModel, with
    a sentence that says what is wrong with the file.
    """
    energy, _, config = load_whole(path)
    return energy, config


def load_locator(path: Path) -> Locator | None:
    """The locator of a model file, in evaluation mode, on the CPU; None where it has none. Raises as `load_model`."""
    return load_whole(path)[1]


def load_whole(path: Path) -> tuple[Energy, Locator | None, ModelConfig]:
    """What `load_model` and `load_locator` give, from one reading of the file. Raises as `load_model`."""
    with _opened_model(path) as file:
        meta = _model_meta(path, file)
        config = _model_config(path, meta)
        # On the meta device no memory is taken, and no random number is drawn.
        with torch.device("meta"):
            energy, locator = Energy(config.network), Locator() if config.located else None
        wanted = {name: list(value.shape) for name, value in energy.state_dict().items()}
        if locator is not None:
            wanted |= {LOCATOR + name: list(value.shape) for name, value in locator.weights().items()}
        there = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        if any(part.get_dtype() != "F32" for part in there.values()):
            raise BadModel(f"{path.name} holds weights that are not 32-bit floats")
        if {name: part.get_shape() for name, part in there.items()} != wanted:
            raise BadModel(f"the weights in {path.name} do not fit its own configuration")
        tensors = {name: file.get_tensor(name) for name in wanted}
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise BadModel(f"{path.name} holds weights that are not finite numbers")
    saved = meta.get("weights")  # older files do not say
    if saved is not None and saved != _fingerprint(tensors):
        raise BadModel(f"{path.name} is damaged: its weights are not those that were saved")
    if locator is not None:
        part = {name.removeprefix(LOCATOR): tensors.pop(name) for name in wanted if name.startswith(LOCATOR)}
        locator.load_state_dict(part, strict=True, assign=True)
        locator.eval().requires_grad_(False)
    energy.load_state_dict(tensors, strict=True, assign=True)
    return energy.eval().requires_grad_(False), locator, config


def load_config(path: Path) -> ModelConfig:
    """The configuration of a model file alone; its weights are not looked at. Raises BadModel."""
    with _opened_model(path) as file:
        return _model_config(path, _model_meta(path, file))


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


def _fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A digest of the weights: a safetensors file has none, and damaged numbers look like any others."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(tensors[name].flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    """The file, its header read. Raises BadModel for what is no safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise BadModel(f"there is no file {path.name}") from error
    except (OSError, SafetensorError) as error:
        raise BadModel(
            f"{path.name} is not a safetensors file; other formats are refused, since they can run code"
        ) from error


@contextmanager
def _opened_model(path: Path) -> Iterator[safe_open]:
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise BadModel(f"{path.name} is larger than any model of cf-translate ({MAX_BYTES >> 20} MB)")
    with _opened(path) as file:
        yield file


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with _opened(path) as file:
        # Copies that fit in memory at once, so that no file stays mapped.
        return {name: file.get_tensor(name) for name in file.keys()}, _meta(path, file)  # noqa: SIM118


def _meta(path: Path, file: safe_open) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((file.metadata() or {})[KEY])
        version = meta["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadModel(f"{path.name} was not written by cf-translate") from error
    if version != FORMAT:
        raise BadModel(f"{path.name} has format {version}, this version reads {FORMAT}")
    return meta


def _model_meta(path: Path, file: safe_open) -> dict[str, Any]:
    meta = _meta(path, file)
    if meta.get("kind") != "model":
        raise BadModel(f"{path.name} is a training state, not a model; use {FILE_NAME} beside it")
    return meta


def _model_config(path: Path, meta: Mapping[str, Any]) -> ModelConfig:
    try:
        return _config(meta)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadModel(f"{path.name} holds a configuration this version cannot read: {_words(error)}") from error


def _config(meta: Mapping[str, Any]) -> ModelConfig:
    network = EnergyConfig(**meta["network"])
    if network.finest > _FINEST or network.widest > _WIDEST:
        raise ValueError(f"its network is too large, beyond {_FINEST} px or {_WIDEST} channels")
    return ModelConfig(
        network=network,
        ladder=ladder_from_dict(meta["ladder"]),
        strength=float(meta["strength"]),
        zoom=meta.get("zoom", 1),  # older files have none
        source=None if meta["source"] is None else _words(meta["source"]),
        target=_words(meta["target"]),
        trained=dict(meta["trained"]),
        calibration=dict(meta.get("calibration", {})),  # older files have none
        located=meta.get("located", False) is True,  # older files have none
    )


def _words(value: object) -> str:
    """Somebody else's words as they may stand on a terminal and in a card: short, on one line, without controls."""
    return "".join(letter for letter in str(value) if letter.isprintable())[:_WORDS]
