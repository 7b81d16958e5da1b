"""The command line: parsing and printing; all work is done in translate/ and models/, which are imported late."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from models.training import Progress, Trainer
    from translate.engine import Result, Translator

FAILED, SOME_FAILED = 1, 3

app = typer.Typer(
    help="Translate pictures from one domain to another by walking down a learned energy.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="The models at hand.", no_args_is_help=True)
app.add_typer(models_app, name="models")

Model = Annotated[
    str, typer.Option("--model", "-m", help="A shipped name, a file, a run folder, or owner/name on the Hub.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Strength = Annotated[
    float | None,
    typer.Option(min=0, max=2, help="Length of the chain: 0 nothing, 1 as in training; default: the model's own."),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable results on stdout.")]


def _version(wanted: bool) -> None:
    if wanted:
        from translate import __version__

        typer.echo(f"cf-translate {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Results go to stdout, progress and messages to stderr. Exit codes: 0 all done, 1 failed, 2 wrong usage,
    3 some pictures failed."""


@app.command()
def translate(
    pictures: Annotated[
        list[Path], typer.Argument(help="Pictures of any size; the results keep it.", show_default=False)
    ],
    model: Model,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file for one picture, a folder for more; default: beside it."),
    ] = None,
    strength: Strength = None,
    steps: Annotated[int | None, typer.Option(min=0, max=1000, help="Steps of a stage at strength 1.")] = None,
    size: Annotated[int | None, typer.Option(help="Short side of the model's working copy, in pixels.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the noise, for models whose chain has any.")] = 0,
    device: Device = "auto",
    gif: Annotated[Path | None, typer.Option(help="Also write the chain as an animation (one picture only).")] = None,
    strip: Annotated[Path | None, typer.Option(help="Also write the chain as a strip (one picture only).")] = None,
    as_json: Json = False,
) -> None:
    """Translate one or many pictures."""
    if len(pictures) > 1 and (gif or strip):
        _usage("--gif and --strip take one picture at a time")
    if gif is not None and gif.suffix.lower() != ".gif":
        _usage(f"--gif wants a name that ends with .gif, not {gif.name}")
    if len(pictures) > 1 and output is not None and output.suffix and not output.is_dir():
        _usage(f"{output.name} is a file name; give a folder for several pictures")
    with _sentences():
        from translate.pictures import BadPicture, can_save

        if strip is not None and not can_save(strip):
            _usage(f"{strip.name} does not end like a picture that can be saved")
        translator = _translator(model, device)
        settings = {"strength": strength, "steps": steps, "size": size, "seed": seed}
        total = translator.check(strength=strength, steps=steps, size=size)
        sources = {path.resolve() for path in pictures}
        _keep_apart(sources, [_target(pictures[0], output, translator.name), gif, strip])
        failed, taken = 0, set[Path]()
        with _bars() as bars:
            for path in pictures:
                target = _target(path, output, translator.name)
                try:
                    if target.resolve() in sources - {path.resolve()}:
                        raise BadPicture(path.name, f"its result would write over {target.name}, another source")
                    if target.resolve() in taken:
                        raise BadPicture(path.name, f"another picture of this call is already saved as {target.name}")
                    result = _translate_one(translator, path, target, settings, bars, total)
                    taken.add(target.resolve())
                    _save_extras(result, gif, strip)
                except BadPicture as error:
                    failed += 1
                    _say(str(error))
                    continue
                _print_result(path, target, result, as_json)
    if failed:
        raise typer.Exit(FAILED if failed == len(pictures) else SOME_FAILED)


def _keep_apart(sources: set[Path], outputs: list[Path | None]) -> None:
    """The pictures of one call's --gif and --strip must not write over its sources or over each other."""
    main, *extras = [path.resolve() for path in outputs if path is not None]
    for number, extra in enumerate(extras):
        if extra in sources or extra == main or extra in extras[:number]:
            _usage(f"{extra.name} would write over another picture of this call")
        if extra.is_dir():
            _usage(f"{extra.name} is a folder")


def _translate_one(
    translator: Translator, path: Path, target: Path, settings: dict[str, Any], bars: Bars, total: int
) -> Result:
    from translate.pictures import open_picture, save_picture

    photo = open_picture(path)
    for note in photo.notes:
        _say(f"{path.name}: {note}")
    task = bars.add_task(path.name, total=total)
    result = translator(photo, **settings, watch=lambda frame: bars.advance(task))
    _make_folder(target)
    save_picture(result.picture, target, like=photo, made=result.made, source=path)
    return result


def _save_extras(result: Result, gif: Path | None, strip: Path | None) -> None:
    from translate.frames import make_strip, save_gif
    from translate.pictures import save_picture

    for extra in (gif, strip):
        if extra is not None:
            _make_folder(extra)
    if gif is not None:
        save_gif(result.photo.rgb, result.frames, gif)
    if strip is not None:
        save_picture(make_strip(result.photo.rgb, result.frames), strip, made=result.made)


def _make_folder(target: Path) -> None:
    from translate.pictures import BadPicture

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadPicture(target.name, f"the folder {target.parent.name} cannot be made ({error.strerror})") from error


def _print_result(path: Path, target: Path, result: Result, as_json: bool) -> None:
    if not as_json:
        typer.echo(target)
        return
    row = {
        "source": str(path), "output": str(target), "energies": [round(e, 5) for e in result.energies],
        "seconds": round(result.seconds, 3), **result.made,
    }  # fmt: skip
    typer.echo(json.dumps(row))


def _target(path: Path, output: Path | None, model: str) -> Path:
    from translate.pictures import can_save

    suffix = path.suffix if can_save(path) else ".png"
    if output is None:
        return path.with_name(f"{path.stem}-{model}{suffix}")
    if output.is_dir() or not output.suffix:
        return output / f"{path.stem}{suffix}"
    return output


@app.command()
def batch(
    source: Annotated[Path, typer.Argument(help="A folder of pictures, with folders in it.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="The folder for the results: the same tree.", show_default=False)],
    model: Model,
    glob: Annotated[str, typer.Option(help="Only pictures with such a name: '*.jpg', 'summer/*'.")] = "*",
    recursive: Annotated[bool, typer.Option("--recursive/--no-recursive", help="Also the folders in it.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is no finished result of this very batch.")
    ] = False,
    format: Annotated[
        Literal["keep", "png", "jpeg", "webp"], typer.Option(help="Of the results; keep: that of the source.")
    ] = "keep",
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep the EXIF of the sources, but for the place.")
    ] = False,
    max_megapixels: Annotated[
        float, typer.Option(min=0.01, max=178, help="Larger pictures are refused before they are decoded.")
    ] = 120,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Add a line of JSON for each picture to this file.")
    ] = None,
    strength: Strength = None,
    steps: Annotated[int | None, typer.Option(min=0, max=1000, help="Steps of a stage at strength 1.")] = None,
    size: Annotated[int | None, typer.Option(help="Short side of the model's working copy, in pixels.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the noise, for models whose chain has any.")] = 0,
    device: Device = "auto",
) -> None:
    """Translate a folder of pictures into another one. The same call again goes on where it stopped."""
    with _sentences():
        from translate.plan import make_plan
        from translate.report import Report, Summary, printable

        try:
            plan = make_plan(source, target, glob=glob, recursive=recursive, format=format)
        except ValueError as error:
            _usage(str(error))
        if not plan.items and not plan.refused:
            raise ValueError(f"{plan.source.name} holds no picture" + (f" named {glob}" if glob != "*" else ""))

        from translate.batch import Settings, run, survey

        settings = Settings(strength, steps, size, seed, keep_metadata, overwrite, round(max_megapixels * 1e6))
        translator = _translator(model, device)
        total = translator.check(strength=strength, steps=steps, size=size)
        summary = Summary()
        with Report(None if dry_run else report) as lines, _bars() as bars, _stop_signals() as stopped:
            files = bars.add_task("files", total=len(plan.items))
            to_walk = total * len(plan.items)
            chain = bars.add_task("steps", total=to_walk, visible=not dry_run)
            outcomes = (
                survey(plan, translator, settings)
                if dry_run
                else run(plan, translator, settings, stopped=lambda: bool(stopped), step=lambda: bars.advance(chain))
            )
            for outcome in outcomes:
                summary.add(outcome)
                lines.write(outcome)
                if outcome.status == "planned":
                    typer.echo(f"{printable(outcome.source)} -> {printable(outcome.target or '')}")
                for sentence in (*outcome.notes, *([outcome.reason] if outcome.reason else [])):
                    _say(printable(f"{outcome.source}: {sentence}"))
                if outcome.target is not None:  # else it was never among the files to do
                    bars.advance(files)
                    if outcome.status != "done":
                        to_walk -= total
                        bars.update(chain, total=to_walk)
        typer.echo(summary)
    if stopped:
        _say(f"{stopped[0].name}: stopped; the same command goes on from here")
        raise typer.Exit(128 + stopped[0])
    if summary.without_result:
        raise typer.Exit(FAILED if summary.all_failed else SOME_FAILED)


@contextmanager
def _stop_signals() -> Iterator[list[signal.Signals]]:
    """Ctrl-C and SIGTERM as they come in, for somebody who looks at the list and ends in good order."""
    heard: list[signal.Signals] = []
    previous = {
        number: signal.signal(number, lambda number, frame: heard.append(signal.Signals(number)))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield heard
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@app.command()
def train(
    target: Annotated[Path, typer.Option(help="Folder with pictures of what results should look like.")],
    out: Annotated[Path, typer.Option(help="The run folder: log, sample sheets, model, state.")],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder with pictures of what will be translated; without it chains start at noise."),
    ] = None,
    preset: Annotated[
        int | None, typer.Option(help="Short side of the model's pictures: 64, 128 or 256; default: 128.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop in time, with a usable model.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on exactly where the run in --out stopped.")] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Of everything random in the training; default: 0.")
    ] = None,
    source_name: Annotated[
        str | None, typer.Option(help="The source domain in words; default: the folder's name.")
    ] = None,
    target_name: Annotated[
        str | None, typer.Option(help="The target domain in words; default: the folder's name.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Train a direction from two folders of pictures."""
    if resume and (preset is not None or seed is not None):
        _usage("a resumed run keeps its own preset and seed")
    with _sentences():
        from models.checkpoint import FILE_NAME
        from models.data import Domain
        from models.presets import preset as training_preset
        from models.training import STATE, Trainer, read_config
        from translate.engine import pick_device
        from translate.pictures import read_training_folder

        processor = pick_device(device)
        config = read_config(out) if resume else training_preset(preset or 128, seed or 0)
        if not resume and (out / STATE).exists():
            raise FileExistsError(f"{out} already holds a run; resume it or choose another folder")
        if out.exists() and not out.is_dir():
            raise NotADirectoryError(f"{out} is not a folder")
        for folder in (source, target):
            if folder is not None and out.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"the run folder must not lie inside {folder.name}, whose pictures it is trained on")

        def domain(folder: Path) -> Domain:
            pictures, bad = read_training_folder(folder, config.picture_size, cache=out / "pictures")
            for error in bad:
                _say(f"left out: {error}")
            return Domain(pictures)

        names = (source_name or (source.resolve().name if source else None), target_name or target.resolve().name)
        with _removed_on_failure(out):
            domains = domain(target), None if source is None else domain(source)
            trainer = Trainer(out, config, *domains, names=names, device=processor, resume=resume)
        _train_with_display(trainer, minutes)
        typer.echo(out / FILE_NAME)


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    """Take a folder away again that was made in here, should this not end well."""
    new = not folder.exists()
    try:
        yield
    except BaseException:
        if new:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)
        raise


def _train_with_display(trainer: Trainer, minutes: float | None) -> None:
    stopped: list[str] = []
    previous = {
        number: signal.signal(number, lambda number, frame: stopped.append(signal.Signals(number).name))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    with _bars("{task.fields[state]}") as bars:
        task = bars.add_task(
            "training", total=trainer.config.curriculum.iterations, completed=trainer.iteration, state=""
        )

        def show(progress: Progress) -> None:
            state = (
                f"{progress.resolution} px, beta {progress.beta:.2f}, energies {progress.target_energy:+.2f} (target) "
                f"{progress.chain_energy:+.2f} (chain), change {progress.change:.3f}"
            )
            bars.update(task, completed=progress.iteration + 1, state=state)
            if progress.event:
                _say(progress.event)
            elif not bars.console.is_terminal and progress.iteration % 50 == 0:
                _say(f"{progress.iteration + 1}/{progress.iterations}: {state}")

        try:
            trainer.train(minutes=minutes, stop=lambda: bool(stopped), report=show)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    if stopped:
        _say(f"{stopped[0]}: saved at iteration {trainer.iteration}; go on with --resume")


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped name, a file, a run folder, or owner/name on the Hub.")],
    source: Annotated[Path, typer.Option(help="Test pictures to translate.")],
    target: Annotated[Path, typer.Option(help="Test pictures of the target domain.")],
    train_source: Annotated[
        Path | None, typer.Option(help="For the rate's classifier; default: trainA beside testA.")
    ] = None,
    train_target: Annotated[
        Path | None, typer.Option(help="For the rate's classifier; default: trainB beside testB.")
    ] = None,
    translated: Annotated[
        Path | None, typer.Option(help="Another tool's translations of the sources, same names: measured beside.")
    ] = None,
    strengths: Annotated[
        str | None, typer.Option(help="A curve: strengths with commas between, such as 0.5,1,1.5,2.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            help="SqueezeNet 1.1 features (.npz); default: the file beside the checkout, or torchvision's weights."
        ),
    ] = None,
    size: Annotated[
        int, typer.Option(min=64, max=1024, help="Side of the pictures that are compared, in pixels.")
    ] = 256,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model: realism, domain rate, content, white change; beside untouched and recoloured pictures."""
    with _sentences():
        from translate.evaluate import evaluate_folders, table

        try:
            curve = [float(part) for part in strengths.split(",")] if strengths else [None]
        except ValueError:
            _usage(f"--strengths wants numbers with commas between, not {strengths}")
        translator = _translator(model, device)
        for strength in curve:
            translator.check(strength=strength)
        with _bars() as bars:
            report = evaluate_folders(
                translator, source, target, train_source, train_target, translated=translated, strengths=curve,
                features=features, size=size, bars=bars, say=_say,
            )  # fmt: skip
        if as_json:
            typer.echo(json.dumps(report.as_dict()))
        else:
            from rich.console import Console

            Console().print(table(report))


@app.command("app")
def serve_page(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where the page answers; default: the first free from 7860.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Show only this model, or these; default: all that are shipped."),
    ] = None,
) -> None:
    """Show the web page, until Ctrl-C."""
    with _sentences():
        from app import serve

        serve(port, model or ())


@models_app.command("list")
def list_models(as_json: Json = False) -> None:
    """Name the shipped models."""
    with _sentences():
        from models.checkpoint import digest, load_model
        from models.zoo import locate, shipped

        for name in shipped():
            _, config = load_model(locate(name))
            row = {
                "name": name, "source": config.source, "target": config.target, "size": config.ladder.finest,
                "strength": config.strength, "digest": digest(locate(name)),
            }  # fmt: skip
            if as_json:
                typer.echo(json.dumps(row))
            else:
                typer.echo(
                    f"{name}: {config.source or 'noise'} -> {config.target}, {config.ladder.finest} px, "
                    f"strength {config.strength:g}, {row['digest']}"
                )


@models_app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="A shipped name, a file, a run folder, or owner/name.")],
) -> None:
    """Print a model's card, or what its file says of itself."""
    with _sentences():
        from dataclasses import asdict

        from models.checkpoint import load_model
        from models.zoo import card, locate

        _, config = load_model(locate(name))
        typer.echo(card(name) or json.dumps(asdict(config), indent=1))


@models_app.command("export")
def export_model(
    name: Annotated[str, typer.Argument(help="A run folder, a file, a shipped name, or owner/name.")],
    file: Annotated[Path, typer.Argument(help="The model file to write, FILE.safetensors.")],
    strength: Strength = None,
    reach: Annotated[
        float | None,
        typer.Option(help="The nearer to 1, the stiffer is white; see models/langevin.py."),
    ] = None,
) -> None:
    """Write a model to a file of its own, with another default strength or reach if wanted."""
    with _sentences():
        from dataclasses import replace

        from models.checkpoint import load_model, save_model
        from models.zoo import locate

        if file.suffix != ".safetensors":
            _usage(f"{file.name} must end with .safetensors")
        energy, config = load_model(locate(name))
        if strength is not None:
            config = replace(config, strength=strength)
        if reach is not None:
            config = replace(config, ladder=replace(config.ladder, reach=reach))
        save_model(file, energy.state_dict(), config)
        typer.echo(file)


def _translator(model: str, device: str) -> Translator:
    from translate import Translator

    return Translator.load(model, device)


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn the errors that people can do something about into one sentence and exit code 1."""
    try:
        yield
    except KeyboardInterrupt:
        _fail("stopped; what was finished is kept")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except (ValueError, ArithmeticError) as error:  # BadPicture, BadModel, Diverged and settings out of range
        _fail(str(error))
    except MemoryError:
        _fail("there is not enough memory for this; try a smaller picture or a smaller --size")


def _bars(*columns: str) -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        *(TextColumn(column) for column in columns),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _fail(sentence: str) -> NoReturn:
    _say(f"error: {sentence}")
    raise typer.Exit(FAILED)


def _usage(sentence: str) -> NoReturn:
    raise typer.BadParameter(sentence)


if __name__ == "__main__":
    app()
