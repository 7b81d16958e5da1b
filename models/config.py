"""The configuration in a model file, and how it is read: checked in full before anything is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from models.schedule import MAX_STRENGTH, Schedule
from models.terms.pixels import PixelConfig
from models.terms.statistics import StatisticsConfig
from models.terms.textured import TexturedConfig
from models.terms.votes import VotesConfig

FORMAT = 2
EnergyConfig = PixelConfig | VotesConfig | StatisticsConfig | TexturedConfig
MAX_WORDS = 100  # letters of a domain's name that are kept


@dataclass(frozen=True)
class Upsampling:
    """How a change is carried to a photo of another size, see translate/upsample.py.

    luma, chroma: the share of the remainder, which a local affine map of the photo cannot express, that is added.
    radius: of its windows, in pixels of the chain's last level at a short side of 128. epsilon: variance of pixels
    below which a window counts as flat.
    """

    luma: float = 1.0
    chroma: float = 1.0
    radius: int = 4
    epsilon: float = 0.3

    def __post_init__(self) -> None:
        if not (0 <= self.luma <= 1 and 0 <= self.chroma <= 1):
            raise ValueError("the shares of a remainder must lie in 0..1")
        if not 1 <= self.radius <= 64 or not 0 < self.epsilon <= 10:
            raise ValueError("the windows of upsampling need a radius in 1..64 and an epsilon in (0, 10]")


@dataclass(frozen=True)
class ModelConfig:
    """Everything but the weights.

    energy: the shape of the energy. schedule: the chain at strength 1. strength: the chain length that looked best on
    test pictures; the default at use. source, target: the two domains in words ("apples", "oranges"); a source of None
    means that the model makes or restores pictures and translates none. upsampling: how the change reaches the photo.
    trunk: the digest of the trunk that the energy reads; empty for energies that read none. probe, density, transport,
    palette, student: whether a domain probe, a density that chains start from, an optimal transport that they begin
    with, the colours of the target's things, and what takes the place of a chain stand in the file. trained: notes for
    people, such as iterations and seconds. calibration: what was measured on pictures of the domain for restoring
    pictures and judging how unusual they are, as translate/tasks/calibration.py writes it; empty before.
    """

    energy: EnergyConfig
    schedule: Schedule
    strength: float = 1.0
    source: str | None = None
    target: str = ""
    upsampling: Upsampling = field(default_factory=Upsampling)
    trunk: str = ""
    probe: bool = False
    trained: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    density: bool = False
    transport: bool = False
    palette: bool = False
    student: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.strength <= MAX_STRENGTH:
            raise ValueError(f"strength must lie in (0, {MAX_STRENGTH:g}], not {self.strength}")
        known = set(self.energy.resolutions)
        if not {level.resolution for level in self.schedule.levels} <= known:
            raise ValueError(f"the schedule needs resolutions that the energy lacks; it has {sorted(known)}")


_ADAPTER = TypeAdapter(ModelConfig)


def as_dict(config: ModelConfig) -> dict[str, Any]:
    """What `read` reads."""
    return asdict(config)


def read(data: Any) -> ModelConfig:
    """The configuration that `as_dict` gave. Raises ValueError, in a few words, for anything else."""
    try:
        config = _ADAPTER.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(_words(f"{where}: {first['msg']}" if where else first["msg"])) from error
    source = None if config.source is None else _words(config.source)
    return replace(config, source=source, target=_words(config.target))


def _words(value: object) -> str:
    """Somebody else's words as they may stand on a terminal and in a card: short, on one line, without controls."""
    return "".join(letter for letter in str(value) if letter.isprintable())[:MAX_WORDS]
