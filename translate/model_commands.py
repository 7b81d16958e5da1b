"""The commands `models ...`: options and printing, as in cli.py."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from translate.cli_options import Device, Json, OptionalPath, Strength, arg, opt
from translate.console import (
    LessonBar,
    confirm,
    echo,
    echo_err,
    echo_lines,
    numbers,
    printable,
    progress_bars,
    stop_signals,
    usage_errors,
    user_errors,
    wrong_usage,
)  # fmt: skip

models_app = typer.Typer(help="List, show, fetch, share and edit models.", no_args_is_help=True)


@models_app.command("list")
def list_models(as_json: Json = False) -> None:
    """Name the shipped models, and those that were pulled from the Hub."""
    with user_errors():
        from models.hub import pulled
        from models.model import digest, load_config
        from models.registry import locate, shipped
        from translate.tasks.kinds import made_from

        for name, path in {**{name: locate(name) for name in shipped()}, **pulled()}.items():
            config = load_config(path)
            row = {
                "name": name, "source": config.source, "target": config.target, "size": config.schedule.finest,
                "strength": config.strength, "digest": digest(path),
            }  # fmt: skip
            line = "{name}: {source} -> {target}, {size} px, strength {strength:g}, {digest}"
            typer.echo(json.dumps(row) if as_json else line.format_map({**row, "source": made_from(config)}))


@models_app.command("show")
def show_model(
    name: Annotated[str, arg("A shipped name, a file, a run folder, or owner/name.")],
) -> None:
    """Print a model's card; of a run folder the one that a push would write; of a file what it says of itself."""
    with user_errors():
        from models.model import Model
        from models.registry import card, locate
        from translate.training.cards import write_card

        path = locate(name)
        config = Model.load(path).config
        text = write_card(path, name=Path(os.path.realpath(path)).parent.name) if Path(name).is_dir() else card(name)
        typer.echo("\n".join(map(printable, text.splitlines())) if text else json.dumps(asdict(config), indent=1))


@models_app.command("pull")
def pull_model(
    name: Annotated[str, arg("A model on the Hugging Face Hub.", metavar="OWNER/NAME[@REVISION]")],
) -> None:
    """Fetch a model from the Hub, or bring it up to date; from then on it needs no network."""
    with user_errors():
        from models.hub import parse_name, pull
        from models.model import Model
        from translate.tasks.kinds import made_from

        path = pull(parse_name(name))
        model = Model.load(path)
        config = model.config
        echo_err(f"{made_from(config)} -> {config.target}, digest {model.digest}; use it with -m {name}")
        echo(path)


@models_app.command("push")
def push_model(
    model: Annotated[Path, arg("A run folder, or a model file.", metavar="RUN")],
    name: Annotated[str, arg("What it shall be called on the Hugging Face Hub.", metavar="OWNER/NAME")],
    licence: Annotated[str | None, opt("Of the model, such as mit or cc-by-nc-4.0.", "--licence", "--license")] = None,
    data: Annotated[str | None, opt("What it was trained on, in your words, and on whose terms.")] = None,
    limits: Annotated[str | None, opt("Where it fails, in your words.")] = None,
    figures: Annotated[OptionalPath, opt("What `evaluate --json` printed. Default: figures.json of the run.")] = None,
    samples: Annotated[bool, opt("Send the last sample sheet: eight of YOUR PICTURES.", "--samples")] = False,
    public: Annotated[bool, opt("For everybody; without it only you see it.", "--public")] = False,
    yes: Annotated[bool, opt("Do not ask.", "--yes", "-y")] = False,
) -> None:
    """Put a model on the Hugging Face Hub, with a card written from its run; asks before anything is sent."""
    with user_errors():
        import tempfile

        from models.hub import CARD, parse_name, push
        from models.registry import locate
        from translate.training.cards import gather

        wanted = parse_name(name)
        if wanted.revision is not None:
            wrong_usage("a push goes to OWNER/NAME, without a revision")
        if not model.exists():
            raise FileNotFoundError(f"there is no run folder or model file {model}")
        with tempfile.TemporaryDirectory() as place:
            files = gather(
                locate(str(model)), Path(place), name=wanted, licence=licence, data=data, limits=limits,
                figures=figures, samples=samples,
            )  # fmt: skip
            card = (Path(place) / CARD).read_text(encoding="utf-8")
            echo_lines(f"    {line}" for line in card.splitlines())
            sizes = ", ".join(f"{path.name} ({path.stat().st_size / 1e3:,.0f} kB)" for path in files)
            echo_err(
                f"{sizes} go to {wanted} on the Hub, {'for everybody to see' if public else 'which only you see'}."
            )
            if not yes:
                confirm("Send them?", "nothing was sent")
            address = push(wanted, Path(place), public=public)
        echo_err(f"Use it with: cf-translate translate PHOTO -m {wanted}")
        typer.echo(address)


@models_app.command("export")
def export_model(
    name: Annotated[str, arg("A run folder, a file, a shipped name, or owner/name.")],
    file: Annotated[Path, arg("The model file to write, FILE.safetensors.")],
    strength: Strength = None,
    gate: Annotated[float | None, opt("How firmly faint changes are dropped, 0..1; 0: not.")] = None,
    palette: Annotated[float | None, opt("How far colours go to those of the target's things, 0..1; 0: not.")] = None,
    white_point: Annotated[float | None, opt("Above 1: the nearer to 1, the less white pixels change.")] = None,
    steps: Annotated[str | None, opt("Steps of each level at strength 1, coarse first, such as 8,14,6.")] = None,
    finest: Annotated[int | None, opt("Leave out all levels finer than this, in pixels.")] = None,
    source_name: Annotated[str | None, opt("What it translates, in a word or two.")] = None,
) -> None:
    """Write a model to a file of its own, with another default strength or another chain."""
    if file.suffix != ".safetensors":
        wrong_usage(f"{file.name} must end with .safetensors")
    counts = None if steps is None else numbers(steps, "--steps")
    with user_errors():
        from models.model import Model
        from models.registry import locate

        loaded = Model.load(locate(name))
        with usage_errors():
            edited = loaded.edited(
                strength=strength,
                gate=gate,
                palette=palette,
                white_point=white_point,
                steps=counts,
                finest=finest,
                source=source_name,
            )
        edited.save(file)
        echo(file)


@models_app.command("distil")
def distil_model(
    name: Annotated[str, arg("A run folder, a file, a shipped name, or owner/name.")],
    photos: Annotated[str, arg("Pictures that it translates: a folder, a zip, hf://datasets/...")],
    file: Annotated[Path, arg("The model file to write, FILE.safetensors.")],
    minutes: Annotated[float | None, opt("Stop after this time; half of it is for the chains.", min=0)] = None,
    seed: Annotated[int, opt("Random seed.", min=0, max=2**63 - 1)] = 0,
    device: Device = "auto",
) -> None:
    """Write a model to a file of its own, with a student: `translate --fast` then takes one pass, not a chain.

    Finished chains teach it: an hour of two cores for a thousand photos.
    """
    if file.suffix != ".safetensors":
        wrong_usage(f"{file.name} must end with .safetensors")
    with user_errors():
        from translate.training.distil import teach

        with stop_signals() as stopped, progress_bars("{task.fields[state]}") as bars:
            made = teach(
                name, photos, file, minutes=minutes, seed=seed, device=device, say=echo_err,
                report=LessonBar(bars), stop=lambda: bool(stopped),
            )  # fmt: skip
        echo(made)
