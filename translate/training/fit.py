"""From folders of pictures to a model: everything that `cf-translate train` does, but for its bar."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from models.model import Model
from models.names import FILE_NAME
from models.train.curriculum import TrainingConfig
from models.train.data import ImageArray
from models.train.distributed import World, init_distributed
from models.train.presets import denoiser, from_scratch, generator, things
from models.train.run_dir import CHECKPOINTS, CONFIG, LOG, SAMPLES, STATE, Measure, Progress, read_config
from models.train.style import fit_style, style_schedule
from models.train.trainer import Trainer
from translate.images.training_set import read_training_files
from translate.images.types import ImageError
from translate.lock import sole_use
from translate.metrics.held_out import measurer, network_at_hand, split
from translate.pipeline import pick_device
from translate.tasks.calibration import MIN_IMAGES, calibrate
from translate.tasks.kinds import is_denoiser
from translate.training.datasets import RECORD, Dataset, described, open_dataset, record
from translate.training.recorder import Recorder

PRESET = 128  # pixels
PICTURES, CURVES = "pictures", "curves.png"
_WRITTEN = (CONFIG, LOG, SAMPLES, CHECKPOINTS, FILE_NAME, RECORD, PICTURES, CURVES)
_CACHED = re.compile(r"[0-9a-f]{32}\.(npy|json)|\.cf-translate-[0-9a-f]{16}\.part")
PAINTED = "photos"  # what a style is put on


def _quiet(sentence: str) -> None:
    """Drop what would be said."""


@dataclass(frozen=True)
class Domains:
    """What is learned from, and where the run goes.

    target, source: folders, zips or Hub datasets, see datasets.open_dataset. out: the run folder. source_name,
    target_name: the domains in words; None takes the names of the folders.
    """

    target: str
    out: Path
    source: str | None = None
    source_name: str | None = None
    target_name: str | None = None


def training_config(
    preset: int | None = None,
    seed: int | None = None,
    *,
    source: bool = True,
    trunk: bool = True,
    shape: bool = False,
    from_noise: bool = False,
) -> TrainingConfig:
    """The ready-made settings. source: whether there are source pictures; without them pictures are made of nothing.

    Raises ValueError for what does not go together.
    """
    preset, seed = preset or PRESET, seed or 0
    if from_noise and source:
        raise ValueError("training from noise takes no source pictures")
    if shape and not (source and trunk):
        raise ValueError("training for shapes needs source pictures and the trunk")
    if from_noise:
        return denoiser(preset, seed)
    if not trunk:
        return from_scratch(preset, seed)
    return things(preset, seed, shapes=shape) if source else generator(preset, seed)


def fit(
    domains: Domains,
    config: TrainingConfig | None = None,
    *,
    style: bool = False,
    preset: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    features: Path | None = None,
    device: str = "auto",
    say: Callable[[str], None] = _quiet,
    callback: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train a model and return its file: all that `cf-translate train` does. Under torchrun all processes train it.

    config: see `training_config`; a resumed run keeps its own. style: fit a style to the target's paintings instead, up
    to a finest resolution of `preset` px (64, 128 or 256, the default). minutes: when to stop. features:
    SqueezeNet's weights for the curves, see network_at_hand. One picture of ten in either domain, 64 at most, is held
    out for sheets and curves. say: called with one sentence for everything that people
    should know. callback: called with the progress of every iteration. stop: asked at every iteration; once it is true
    training stops with a model that can be used. Raises ValueError (ImageError, BadModel), OSError, Diverged.
    """
    if style:
        return _fit_style(domains, preset, device, say)
    with ExitStack() as held, init_distributed(pick_device(device)) as (world, processor):
        with world.main_first():
            trainer, measure, known = _prepare(domains, config, resume, features, processor, world, say, held)
        if not world.is_main:
            trainer.train(minutes=minutes, stop=stop)
            return domains.out / FILE_NAME
        with Recorder(trainer, say) as record:

            def report(progress: Progress) -> None:
                record(progress)
                callback(progress)

            trainer.train(minutes=minutes, stop=stop, report=report, measure=measure)
        if domains.source is None:
            _calibrate(domains.out / FILE_NAME, known, say)
    return domains.out / FILE_NAME


def _prepare(
    domains: Domains,
    config: TrainingConfig | None,
    resume: bool,
    features: Path | None,
    device: torch.device,
    world: World,
    say: Callable[[str], None],
    held: ExitStack,
) -> tuple[Trainer, Measure | None, ImageArray]:
    """The trainer, what measures its model, and target pictures to calibrate it on. The run folder is made before
    thousands of images are read; the main process holds it against other runs as long as `held` is open."""
    out = domains.out
    if resume:
        config = read_config(out)
    else:
        check_free(out)
    config = config or training_config(source=domains.source is not None)
    sets = _opened(domains)
    network = network_at_hand(features, device) if world.is_main else None
    with _removed_on_failure(out):
        out.mkdir(parents=True, exist_ok=True)
        if world.is_main:
            held.enter_context(sole_use(out))
        _announce(sets, world, say)
        read = partial(_read, size=config.picture_size, cache=out / PICTURES, world=world, say=say)
        learned, held_out, descriptions = _divided(sets, read)
        target, source = learned["target"], learned.get("source")
        trainer = Trainer(
            out, config, target, source, held_out=held_out.get("source"),
            names=_names(domains, sets), device=device, world=world, resume=resume,
        )  # fmt: skip
        if world.is_main:
            record(out, descriptions)
            _say_held_out(descriptions, say)
    known = held_out.get("target", target)
    if network is None or held_out.keys() != learned.keys():
        return trainer, None, known
    return trainer, measurer(network, config.sample_size, held_out["target"], target, source), known


def _calibrate(path: Path, pictures: ImageArray, say: Callable[[str], None]) -> None:
    """Teach a model that makes or restores pictures what is usual, on pictures that it did not learn from."""
    model = Model.load(path)
    if len(pictures) < MIN_IMAGES or not (model.config.probe or is_denoiser(model.config)):
        return
    shown = torch.cat(list(pictures.whole(model.config.schedule.finest)))
    calibrate(model, ((shown + 1) * 127.5).round().byte().numpy()).save(path)
    say(f"calibrated on {len(pictures)} pictures")


def _fit_style(domains: Domains, preset: int | None, device: str, say: Callable[[str], None]) -> Path:
    out, chosen = domains.out, pick_device(device)
    schedule = style_schedule()
    schedule = schedule.up_to(preset or schedule.finest)
    for name in (FILE_NAME, RECORD):
        if os.path.lexists(out / name):
            what = "a model" if name == FILE_NAME else name
            raise FileExistsError(f"{out} already holds {what}; choose another folder")
    sets = _opened(domains)
    with ExitStack() as held, _removed_on_failure(out):
        out.mkdir(parents=True, exist_ok=True)
        held.enter_context(sole_use(out))
        _announce(sets, World(), say)
        paintings, description = _read(sets["target"], schedule.finest, None, World(), say)
        source, target = _names(domains, sets)
        model = fit_style(paintings, source=source or PAINTED, target=target, schedule=schedule, device=chosen)
        model.save(out / FILE_NAME)
        record(out, {"target": description})
    return out / FILE_NAME


def check_free(out: Path) -> None:
    """Raises FileExistsError where a new training would write over what lies in its folder.

    What a training left that was ended before its first state was saved is no hindrance.
    """
    if (out / STATE).exists():
        raise FileExistsError(f"{out} already holds a run; resume it or choose another folder")
    found = {name for name in _WRITTEN if os.path.lexists(out / name)}
    with suppress(ValueError, OSError, TypeError, KeyError, AttributeError):
        if CONFIG in found and read_config(out):
            found &= {FILE_NAME, PICTURES}
    if (out / PICTURES).is_dir() and all(map(_CACHED.fullmatch, os.listdir(out / PICTURES))):
        found.discard(PICTURES)
    if found:
        raise FileExistsError(
            f"{out} already holds {min(found)}, which is no run of cf-translate; choose another folder"
        )


def _opened(domains: Domains) -> dict[str, Dataset]:
    out = domains.out
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is not a folder")
    places = {"target": domains.target, **({} if domains.source is None else {"source": domains.source})}
    sets = {domain: open_dataset(place) for domain, place in places.items()}
    for found in sets.values():
        if found.folder is not None and Path(os.path.realpath(out)).is_relative_to(found.folder):
            raise ValueError(f"the run folder must not lie inside {found.name}, whose pictures it is trained on")
    return sets


def _names(domains: Domains, sets: Mapping[str, Dataset]) -> tuple[str | None, str]:
    """Source and target in words."""
    source = domains.source_name or (sets["source"].name if "source" in sets else None)
    return source, domains.target_name or sets["target"].name


def _announce(sets: Mapping[str, Dataset], world: World, say: Callable[[str], None]) -> None:
    if world.is_main and all(found.files for found in sets.values()):
        say(f"reading {' and '.join(f'{len(found.files)} pictures of {found.shown}' for found in sets.values())}")


def _divided(
    sets: Mapping[str, Dataset], read: Callable[[Dataset], tuple[ImageArray, dict[str, Any]]]
) -> tuple[dict[str, ImageArray], dict[str, ImageArray], dict[str, dict[str, Any]]]:
    """Each domain's pictures to learn from, those that are held out (where there are enough), and its description."""
    learned: dict[str, ImageArray] = {}
    held_out: dict[str, ImageArray] = {}
    descriptions: dict[str, dict[str, Any]] = {}
    for domain, found in sets.items():
        rest, aside = split(found.files)
        learned[domain], descriptions[domain] = read(replace(found, files=rest))
        descriptions[domain]["held_out"] = 0
        if aside:
            with suppress(ImageError):  # none of them can be read
                held_out[domain], about = read(replace(found, files=aside))
                descriptions[domain]["held_out"] = about["pictures"]
                descriptions[domain]["left_out"] += about["left_out"]
    return learned, held_out, descriptions


def _say_held_out(descriptions: Mapping[str, Mapping[str, Any]], say: Callable[[str], None]) -> None:
    told = [f"{about['held_out']} of {about['from']}" for about in descriptions.values() if about["held_out"]]
    if told:
        say(f"held out for sheets and curves: {' and '.join(told)}")


def _read(
    found: Dataset, size: int, cache: Path | None, world: World, say: Callable[[str], None]
) -> tuple[ImageArray, dict[str, Any]]:
    """The pictures of one domain as squares, and their description for the run folder."""
    pictures, bad = read_training_files(found.files, size, cache=cache, name=found.shown)
    for error in bad if world.is_main else ():
        say(f"left out: {error}")
    images = ImageArray(pictures)
    return images, described(found, len(images), len(bad), images.digest)


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    """Remove a folder that was made in here, if this does not end well."""
    new = not folder.exists()
    try:
        yield
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
