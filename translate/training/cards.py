"""The model card, written from the run itself: what was learned from what, by which command, with which figures."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from models.config import ModelConfig
from models.hub import CARD, HubName
from models.model import Model, digest
from models.names import FILE_NAME
from models.terms.statistics import StatisticsConfig
from models.train.curriculum import TrainingConfig
from models.train.run_dir import CONFIG, LOG, SAMPLES, Log, read_config
from translate.metrics.tables import LEGEND, cells
from translate.tasks.kinds import is_denoiser
from translate.training.datasets import RECORD
from translate.training.fit import PAINTED, training_config

FIGURES = "figures.json"  # what `evaluate --json` printed, in a run folder
CURVES, SHEET = "curves.png", "samples.png"
_KINDS: dict[tuple[str, ...], dict[str, bool]] = {  # options of `train` -> what they mean for fit.training_config
    (): {},
    ("--shape",): {"shape": True},
    ("--trunk", "none"): {"trunk": False},
    ("--from-noise",): {"from_noise": True},
}


def write_card(
    model: Path,
    *,
    name: str,
    licence: str | None = None,
    data: str | None = None,
    limits: str | None = None,
    figures: Path | None = None,
    samples: bool = False,
) -> str:
    """The card of a model file, Markdown; of one in a run folder with all that the run knows.

    licence: as the Hub names it, such as mit or cc-by-nc-4.0; None says that none was given. data, limits: in the
    words of who trained it. figures: what `evaluate --json` printed; default: figures.json in the run folder, as long
    as it is not older than the model. samples: show the sample sheet. Raises BadModel, OSError, ValueError.
    """
    loaded = Model.load(model)
    config = loaded.config
    size = sum(value.numel() for value in loaded.energy.state_dict().values())
    front = ModelCardData(
        license=licence,
        library_name="cf-translate",
        pipeline_tag="image-to-image" if config.source or is_denoiser(config) else "unconditional-image-generation",
        tags=["energy-based-model", "langevin", "unpaired", "cf-ebm"],
    ).to_yaml()
    parts = [
        f"---\n{front}\n---",
        f"# {name.rpartition('/')[2]}",
        f"{_does(config)}: an energy of {size:,} weights ({model.stat().st_size / 1e6:.2f} MB), low on "
        f"{config.target or 'the target domain'}, and a coarse-to-fine chain that descends it. "
        f"File digest {digest(model)}.",
        *_use(config, name),
        *_training(model, config),
        *_data(model, data, samples),
        *_figures(model, config, figures),
    ]
    if samples and config.source:
        parts += ["## Samples", f"Above: {config.source}. Below: their translations.\n\n![samples]({SHEET})"]
    parts += ["## Limits", limits or _usual_limits(config)]
    parts += ["## Licence", f"`{licence}`." if licence else "None was given: ask its author before you use it."]
    return "\n\n".join(parts) + "\n"


def gather(
    model: Path,
    folder: Path,
    *,
    name: HubName,
    licence: str | None = None,
    data: str | None = None,
    limits: str | None = None,
    figures: Path | None = None,
    samples: bool = False,
) -> list[Path]:
    """Put into `folder` what is to be pushed: model, card, the curves of its run; with `samples` its last sample sheet.

    Returns the files. Raises as write_card does, and ValueError where there is no sheet to show.
    """
    run = model.parent
    sheet = max((run / SAMPLES).glob("*.png"), default=None)
    if samples and sheet is None:
        raise ValueError("there is no sample sheet to show beside this model")
    text = write_card(
        model, name=name.repository, licence=licence, data=data, limits=limits, figures=figures, samples=samples
    )
    (folder / CARD).write_text(text, encoding="utf-8")
    shutil.copyfile(model, folder / FILE_NAME)
    if samples and sheet is not None:
        shutil.copyfile(sheet, folder / SHEET)
    if _is_run(model) and (run / CURVES).is_file():
        shutil.copyfile(run / CURVES, folder / CURVES)
    return sorted(folder.iterdir())


def _is_run(model: Path) -> bool:
    """Whether it stands in the folder of its run. A style leaves only the record of its paintings there."""
    return model.name == FILE_NAME and any((model.parent / name).is_file() for name in (CONFIG, RECORD))


def _does(config: ModelConfig) -> str:
    target = config.target or "the target domain"
    if config.source:
        return f"Turns pictures of {config.source} into {target}"
    return f"{'Removes noise from' if is_denoiser(config) else 'Makes'} pictures of {target}"


def _use(config: ModelConfig, name: str) -> list[str]:
    if "/" not in name:
        return []
    task = f"generate {name} -o SHEET.png"
    if config.source or is_denoiser(config):
        task = f"translate PHOTO -m {name}" if config.source else f"denoise {name} PHOTO -o CLEAN.png"
    return ["## Use", f"    cf-translate {task}"]


def _training(model: Path, config: ModelConfig) -> list[str]:
    trained = config.trained
    levels = ", ".join(str(level.resolution) for level in config.schedule.levels)
    done = f"Levels {levels} px; default strength {config.strength:g}."
    if {"iterations", "seconds"} <= trained.keys():
        minutes = round(float(trained["seconds"]) / 60)
        words = "1 minute" if minutes == 1 else f"{minutes} minutes"
        done += f" {trained['iterations']:,} iterations in {words}, from nothing"
        done += f", seed {trained['seed']}." if "seed" in trained else "."
    elif "paintings" in trained:
        done += f" Fitted to {trained['paintings']:,} paintings in one pass."
    if not _is_run(model):
        return ["## Training", done]
    run = model.parent
    if isinstance(config.energy, StatisticsConfig):
        return ["## Training", f"    {_command(run, config, None)}", done]
    training = read_config(run)
    log = Log()
    log.read(run / LOG)
    events = [row["event"] for row in log.rows if row["event"]]
    if events:
        done += f" Events on the way: {'; '.join(events)}."
    if (run / CURVES).is_file():
        done += f"\n\n![energies, gap and change over the iterations]({CURVES})"
    return ["## Training", f"    {_command(run, config, training)}", done]


def _command(run: Path, config: ModelConfig, training: TrainingConfig | None) -> str:
    """What was typed, as far as the run knows: without folders of this machine, and without when it was stopped.

    training: None for a style, which is fitted.
    """
    record = _record(run)
    words: list[str] = ["cf-translate", "train"]
    for domain, named in (("source", config.source), ("target", config.target)):
        if domain == "source" and training is None:  # a style needs no source pictures
            words += [] if named in (None, PAINTED) else ["--source-name", str(named)]
            continue
        if domain == "source" and not named:
            continue
        place = str(record.get(domain, {}).get("from", domain.upper()))
        words += [f"--{domain}", place]
        if named and named != place:
            words += [f"--{domain}-name", named]
    words += ["--out", run.resolve().name]
    if training is None:
        return shlex.join([*words, "--style", "--preset", str(config.schedule.finest)])
    finest = training.sample_size
    words += ["--preset", str(finest)]
    if training.seed:
        words += ["--seed", str(training.seed)]
    for options, settings in _KINDS.items():
        with suppress(ValueError):  # some do not go together with a source, some not without one
            ready = training_config(finest, training.seed, source=config.source is not None, **settings)
            if asdict(training) == asdict(ready):
                return shlex.join([*words, *options])
    return shlex.join(words) + "    # with settings of its own"


def _data(model: Path, words: str | None, samples: bool) -> list[str]:
    record = _record(model.parent) if _is_run(model) else {}
    lines = []
    for domain, found in record.items():
        line = f"- {domain}: {found['pictures']:,} pictures from `{found['from']}`"
        if found["held_out"]:
            line += f"; {found['held_out']:,} more held out for sheets and curves"
        if found["left_out"]:
            line += f"; {found['left_out']:,} more could not be read"
        lines.append(f"{line} (digest {found['digest']})")
    parts = [*([words] if words else []), *(["\n".join(lines)] if lines else [])]
    if not parts:
        parts = ["Whoever trained it has not said on what."]
    elif record:
        parts.append(f"{'Only those of the samples below are' if samples else 'None of them is'} in this repository.")
    return ["## Data", *parts]


def _record(run: Path) -> Mapping[str, Any]:
    path = run / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {
            domain: {
                "held_out": record[domain].get("held_out", 0),  # older runs and styles hold nothing out
                **{key: record[domain][key] for key in ("from", "pictures", "left_out", "digest")},
            }
            for domain in ("source", "target")
            if domain in record
        }
    except FileNotFoundError:
        return {}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is no description of training pictures") from error


def _figures(model: Path, config: ModelConfig, figures: Path | None) -> list[str]:
    if figures is None and _is_run(model) and (model.parent / FIGURES).is_file():
        figures = model.parent / FIGURES
        if figures.stat().st_mtime < model.stat().st_mtime:
            return ["## Figures", "Not measured in this state: the figures of the run are older than the model."]
    if figures is None:
        return ["## Figures", "Not measured."]
    try:
        report = json.loads(figures.read_text(encoding="utf-8"))
        measured = report.get("digest")
        heading, *rows = cells(report)
        notes = [str(note) for note in report["notes"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{figures.name} is not what `cf-translate evaluate --json` prints") from error
    if measured is not None and measured != digest(model):
        raise ValueError(f"{figures.name} measures other weights ({measured}) than these ({digest(model)})")
    table = "\n".join(f"| {' | '.join(row)} |" for row in [heading, ["---"] * len(heading), *rows])
    return ["## Figures", f"By `cf-translate evaluate`. {LEGEND}", table, *notes]


def _usual_limits(config: ModelConfig) -> str:
    if not config.source:
        return "It knows only pictures like those that it was trained on."
    return (
        f"It knows only pictures like those that it was trained on; whatever it is shown, it pushes towards "
        f"{config.target}. It changes colours and textures, hardly ever shapes. What it makes is no photograph: do not "
        "pass it off as one."
    )
