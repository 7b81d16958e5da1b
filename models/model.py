"""A model: energy, configuration, and what belongs to them: domain probe, density, transport, palette, student. The one
thing that travels to disk, to the Hub, to workers.

Files are safetensors with the configuration inside, written whole or not at all. Never pickle: a file somebody sends
can only hold numbers and a JSON text, and both are checked before use.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from models import config as configs
from models.atomic import write_whole
from models.config import FORMAT, EnergyConfig, ModelConfig
from models.density import Density
from models.errors import BadModel
from models.fingerprint import fingerprint
from models.gate import DomainProbe
from models.names import FILE_NAME
from models.palette import Palette
from models.sampling import Hook
from models.schedule import Schedule
from models.student import Student, level_of
from models.terms.perceptual import PerceptualEnergy
from models.terms.pixels import PixelConfig, PixelEnergy
from models.terms.statistics import StatisticsConfig, StatisticsEnergy
from models.terms.textured import TexturedConfig, TexturedEnergy
from models.terms.trunk import OnTrunk, Trunk, load_trunk
from models.transport import Transport

Energy: TypeAlias = PixelEnergy | PerceptualEnergy | StatisticsEnergy | TexturedEnergy

# What may belong to an energy: the name of its field, which its tensors begin with, and how it is made of a trunk.
PARTS: dict[str, Callable[[Any], nn.Module]] = {
    "probe": DomainProbe, "density": lambda _: Density(), "transport": Transport, "palette": lambda _: Palette(),
    "student": Student,
}  # fmt: skip
KEY = "cf-translate"  # where the JSON text stands in the safetensors header
MAX_BYTES = 64 * 2**20  # the presets' models take one to six
_FINEST, _MAX_WIDTH = 1024, 256  # what a file may ask for: pixels, and channels


@dataclass(frozen=True, eq=False)
class Model:
    """An energy and all that belongs to it, on one device. `digest` names the file it came from; empty before."""

    energy: Energy
    config: ModelConfig
    probe: DomainProbe | None = None
    density: Density | None = None
    transport: Transport | None = None
    palette: Palette | None = None
    student: Student | None = None
    digest: str = ""

    @property
    def device(self) -> torch.device:
        return next(iter(self.energy.state_dict().values())).device

    def to(self, device: torch.device) -> Model:
        """A copy on another device; on the same one, this."""
        if device == self.device:
            return self
        energy = build(self.config.energy, device)
        energy.load_state_dict(self.energy.state_dict())
        moved: dict[str, Any] = {name: _moved(module, device) for name, module in self.parts().items()}
        return replace(self, energy=energy.eval().requires_grad_(False), **moved)

    def parts(self) -> dict[str, nn.Module]:
        """Those of PARTS that this model has."""
        return {name: module for name in PARTS if (module := getattr(self, name)) is not None}

    def evidence(self, sources: Sequence[Tensor], schedule: Schedule) -> list[Tensor] | None:
        """What the probe says to pictures at each level's resolution, coarse to fine; None where nobody asks it."""
        asked = schedule.gate or schedule.palette
        return self.probe.evidence_at(sources) if self.probe is not None and asked else None

    def finish(self, sources: Sequence[Tensor], evidence: Sequence[Tensor] | None, schedule: Schedule) -> Hook | None:
        """What a chain of this schedule does at the end of each level; None for nothing."""
        if self.palette is None or evidence is None or not schedule.palette:
            return None
        return self.palette.toward(schedule.palette, sources, evidence)

    def edited(
        self,
        *,
        strength: float | None = None,
        gate: float | None = None,
        palette: float | None = None,
        white_point: float | None = None,
        steps: Sequence[int] | None = None,
        finest: int | None = None,
        source: str | None = None,
    ) -> Model:
        """A model with some settings changed; None leaves a setting as it is.

        strength: the default at use. gate, palette, white_point: of the schedule. finest: levels beyond it are left
        out, with what only they know. steps: of each level that is left, at strength 1. source: what is translated, in
        words. A student knows nothing of all that, and is left out only where its level is. Raises ValueError.
        """
        energy, config, student = self.energy, self.config, self.student
        if source is not None and config.source is None:
            raise ValueError("a model that was trained without source pictures does not translate")
        if palette and self.palette is None:
            raise ValueError("this model has no palette")
        known = [level.resolution for level in config.schedule.levels]
        if finest is not None and finest != known[-1]:
            if finest not in known:
                raise ValueError(f"the finest level is one of {', '.join(map(str, known))} px, not {finest}")
            shape, schedule = config.energy.up_to(finest), config.schedule.up_to(finest)
            weights = (energy.things if isinstance(energy, TexturedEnergy) else energy).state_dict()
            energy = build(shape, self.device)
            energy.load_state_dict({name: weights[name] for name in energy.state_dict()})
            energy = energy.eval().requires_grad_(False)
            if student is not None and finest < level_of(config):
                student = None
            config = replace(config, energy=shape, schedule=schedule, calibration={}, student=student is not None)
        levels = config.schedule.levels
        if steps is not None:
            if len(steps) != len(levels):
                raise ValueError(f"there are {len(levels)} levels, but steps for {len(steps)}")
            levels = tuple(replace(level, steps=count) for level, count in zip(levels, steps, strict=True))
        schedule = replace(
            config.schedule,
            levels=levels,
            gate=config.schedule.gate if gate is None else gate,
            palette=config.schedule.palette if palette is None else palette,
            white_point=config.schedule.white_point if white_point is None else white_point,
        )
        config = replace(
            config,
            schedule=schedule,
            strength=config.strength if strength is None else strength,
            source=config.source if source is None else source,
        )
        return replace(self, energy=energy, config=config, student=student)

    def to_bytes(self) -> bytes:
        """The whole file, float16 where that is exact enough: not in energies from scratch, nor for single numbers."""
        half = not isinstance(self.energy, PixelEnergy)
        tensors = {name: _stored(value, half) for name, value in self.energy.state_dict().items()}
        for name, module in self.parts().items():
            tensors |= {f"{name}.{key}": _stored(value, half) for key, value in module.state_dict().items()}
        there: dict[str, Any] = {name: getattr(self, name) is not None for name in PARTS}
        config = replace(self.config, trunk=self._trunk_digest(), **there)
        header = {"format": FORMAT, "kind": "model", "weights": fingerprint(tensors), "config": configs.as_dict(config)}
        return to_bytes(tensors, metadata={KEY: json.dumps(header)})

    def save(self, path: Path) -> None:
        """Write one model file. Raises OSError."""
        write_whole(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read a model file, on the CPU, in evaluation mode.

        The file's size, its configuration, and the names, types and shapes of its tensors are checked, in this order,
        before memory is taken for any of them; then whether the weights are those that were saved, and whether the
        trunk is the one they were trained on. Raises BadModel, with a sentence that says what is wrong with the file.
        """
        with _opened_model(path) as file:
            meta = _model_meta(path, file)
            config = _model_config(path, meta)
            parts = _skeleton(config)
            wanted = {name: list(value.shape) for name, value in parts.items()}
            there = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            if any(part.get_dtype() not in ("F16", "F32") for part in there.values()):
                raise BadModel(f"{path.name} holds weights that are not floats of 16 or 32 bits")
            if {name: part.get_shape() for name, part in there.items()} != wanted:
                raise BadModel(f"the weights in {path.name} do not fit its own configuration")
            tensors = {name: file.get_tensor(name) for name in wanted}
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise BadModel(f"{path.name} holds weights that are not finite numbers")
        if meta.get("weights") != fingerprint(tensors):
            raise BadModel(f"{path.name} is damaged: its weights are not those that were saved")
        if config.trunk and config.trunk != load_trunk().digest:
            raise BadModel(f"{path.name} was trained on another trunk than this version's; train it again, or use the "
                           "version of cf-translate that made it")  # fmt: skip
        model = cls._of(config, {name: value.float() for name, value in tensors.items()}, digest(path))
        if model.density is not None and not model.density.sane():
            raise BadModel(f"{path.name} holds a density whose shares are no shares")
        return model

    @classmethod
    def from_bytes(cls, content: bytes) -> Model:
        """The inverse of `to_bytes`, for content of one's own: it is not checked."""
        size = int.from_bytes(content[:8], "little")
        meta = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][KEY])
        tensors = {name: value.float() for name, value in from_bytes(content).items()}
        return cls._of(configs.read(meta["config"]), tensors, _short(content))

    @classmethod
    def _of(cls, config: ModelConfig, tensors: dict[str, Tensor], digest: str) -> Model:
        energy = build(config.energy)
        parts: dict[str, Any] = {}
        for name, make in PARTS.items():
            if getattr(config, name):
                parts[name] = make(load_trunk())
                parts[name].load_state_dict(part(tensors, f"{name}."))
        beside = tuple(f"{name}." for name in PARTS)
        energy.load_state_dict({name: value for name, value in tensors.items() if not name.startswith(beside)})
        return cls(energy.eval().requires_grad_(False), config, digest=digest, **parts)

    def _trunk_digest(self) -> str:
        return load_trunk().digest if self.probe is not None or not isinstance(self.energy, PixelEnergy) else ""


def build(config: EnergyConfig, device: torch.device | str = "cpu") -> Energy:
    """An energy of this shape with random weights, on a device; its trunk is the shipped one. Raises BadModel."""
    energy = _energy(config, None if isinstance(config, PixelConfig) else load_trunk(device=torch.device(device)))
    # channels_last makes narrow layers of fine levels up to twice as fast.
    return energy.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _energy(config: EnergyConfig, trunk: Trunk | None) -> Energy:
    """An energy of this shape; without a trunk it can be looked at, but not asked."""
    if isinstance(config, PixelConfig):
        return PixelEnergy(config)
    if isinstance(config, StatisticsConfig):
        return StatisticsEnergy(config, trunk)  # type: ignore[arg-type]
    if isinstance(config, TexturedConfig):
        things, texture = PerceptualEnergy(config.things, trunk), StatisticsEnergy(config.texture, trunk)  # type: ignore[arg-type]
        return TexturedEnergy(things, texture)
    return PerceptualEnergy(config, trunk)  # type: ignore[arg-type]


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
    with _opened(path) as file:
        meta = _meta(path, file)
        if meta.get("kind") != "state":
            raise BadModel(f"{path.name} is a model, not a training state")
        # Copies that fit in memory at once, so that no file stays mapped.
        return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118


def digest(path: Path) -> str:
    """The first 12 hexadecimal digits of the file's SHA-256: names these very weights."""
    return _short(path.read_bytes())


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    # Single numbers cost nothing, and may be too large for float16.
    short = value.half() if half and value.ndim else value
    return short if bool(torch.isfinite(short).all()) else value


def _skeleton(config: ModelConfig) -> dict[str, Tensor]:
    """All tensors of a model file, on the meta device: no memory is taken, no random number is drawn."""
    with torch.device("meta"):
        parts = dict(_energy(config.energy, None).state_dict())
        for name, make in PARTS.items():
            if getattr(config, name):
                parts |= {f"{name}.{key}": value for key, value in make(None).state_dict().items()}
    return parts


def _moved(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy on a device; those that read the trunk read the one there."""
    if isinstance(module, OnTrunk | Transport):
        return module.on(device)
    return copy.deepcopy(module).to(device)


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    """The file, its header read. Raises BadModel for what is no safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise BadModel(f"there is no file {path.name}") from error
    except (OSError, SafetensorError) as error:
        raise BadModel(f"{path.name} {_fault(path)}") from error


def _fault(path: Path) -> str:
    """What is wrong with a file that is no whole safetensors file."""
    try:
        with path.open("rb") as file:
            head, size = file.read(64), path.stat().st_size
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer and not the model itself; fetch it with git lfs pull"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < MAX_BYTES:
        return f"is damaged or cut short: a safetensors file of which {size:,} bytes are there"
    return "is not a safetensors file; other formats are refused, since they can run code"


@contextmanager
def _opened_model(path: Path) -> Iterator[safe_open]:
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise BadModel(f"{path.name} is larger than any model of cf-translate ({MAX_BYTES >> 20} MB)")
    with _opened(path) as file:
        yield file


def _meta(path: Path, file: safe_open) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((file.metadata() or {})[KEY])
        version = meta["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadModel(f"{path.name} was not written by cf-translate") from error
    if version == 1:
        raise BadModel(f"{path.name} has format 1, of an older cf-translate; train it again with this version")
    if version != FORMAT:
        raise BadModel(f"{path.name} is of another format than {FORMAT}, which this version reads; "
                       "install a newer cf-translate")  # fmt: skip
    return meta


def _model_meta(path: Path, file: safe_open) -> dict[str, Any]:
    meta = _meta(path, file)
    if meta.get("kind") != "model":
        raise BadModel(f"{path.name} is a training state, not a model; use {FILE_NAME} beside it")
    return meta


def _model_config(path: Path, meta: Mapping[str, Any]) -> ModelConfig:
    try:
        config = configs.read(meta["config"])
        energy = config.energy
        width = energy.max_width if isinstance(energy, PixelConfig) else 0
        if max(energy.resolutions) > _FINEST or width > _MAX_WIDTH:
            raise ValueError(f"its network is too large, beyond {_FINEST} px or {_MAX_WIDTH} channels")
        return config
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadModel(f"{path.name} holds a configuration this version cannot read: {error}") from error
