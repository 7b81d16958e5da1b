"""The command line: parsing and printing; all work is done in translate/ and models/, which are imported late."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
import typer.core

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from torch import Tensor

    from models.train.run_dir import Progress
    from models.train.trainer import Trainer
    from translate.folders.report import Outcome
    from translate.images.types import LoadedImage
    from translate.pipeline import Result, Translator
    from translate.tasks.restore import Restored

FAILED, SOME_FAILED = 1, 3


class _OneSentence(typer.core.TyperGroup):
    """Says what is wrong with a command in one sentence, as everything else here does, and where to read on."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        if not options.get("standalone_mode", True):
            return super().main(*arguments, **options)
        try:
            code = super().main(*arguments, **{**options, "standalone_mode": False})
        except typer.Abort:
            _say("stopped")
            code = FAILED
        except Exception as error:
            # Click's errors, whose classes Typer has had in several places; without a message they have shown a page.
            if not hasattr(error, "format_message"):
                raise
            if message := " ".join(error.format_message().split()).rstrip("."):
                context = getattr(error, "ctx", None)
                _say(f"error: {message}" + (f" (see {context.command_path} --help)" if context is not None else ""))
            code = getattr(error, "exit_code", FAILED)
        sys.exit(code or 0)


app = typer.Typer(
    cls=_OneSentence,
    help="Translate pictures from one domain to another by a chain that descends a learned energy.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="List, show, fetch, share and edit models.", no_args_is_help=True)
app.add_typer(models_app, name="models")

ModelName = Annotated[
    str, typer.Option("--model", "-m", help="A shipped name, a file, a run folder, or owner/name on the Hub.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Strength = Annotated[
    float | None,
    typer.Option(min=0, max=2, help="Length of the chain: 0 changes nothing. Default: the model's own."),
]
Steps = Annotated[
    int | None, typer.Option(min=0, max=1000, help="Steps of each level at strength 1. Levels without steps stay so.")
]
Size = Annotated[int | None, typer.Option(help="Short side of the copy that the chain works on, in pixels.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed. The same seed gives the same result.")]
KeepMetadata = Annotated[bool, typer.Option("--keep-metadata", help="Keep the EXIF of the sources, without the place.")]
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
    # Read when torch comes. Threads that spin while they wait cost half of the speed as soon as cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@app.command()
def translate(
    pictures: Annotated[
        list[Path], typer.Argument(help="Pictures of any size; the results keep it.", show_default=False)
    ],
    model: ModelName,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A file (replaced) for one picture, a folder for several. Default: next to the source.",
        ),
    ] = None,
    strength: Strength = None,
    steps: Steps = None,
    size: Size = None,
    seed: Seed = 0,
    device: Device = "auto",
    gif: Annotated[Path | None, typer.Option(help="Also write the chain as an animation (one picture only).")] = None,
    strip: Annotated[Path | None, typer.Option(help="Also write the chain as a strip (one picture only).")] = None,
    saliency: Annotated[
        Path | None, typer.Option(help="Also write what changed and why, as one sheet (one picture only).")
    ] = None,
    keep_metadata: KeepMetadata = False,
    as_json: Json = False,
) -> None:
    """Translate one or many pictures.

    The same call again replaces its own results. A file that cf-translate did not make is replaced only if you name it.
    """
    if len(pictures) > 1 and (gif or strip or saliency):
        _usage("--gif, --strip and --saliency take one picture at a time")
    if gif is not None and gif.suffix.lower() != ".gif":
        _usage(f"--gif wants a name that ends with .gif, not {gif.name}")
    if len(pictures) > 1 and output is not None and output.suffix and not output.is_dir():
        _usage(f"{output.name} is a file name; give a folder for several pictures")
    with _sentences():
        from translate.images.formats import can_save
        from translate.images.types import ImageError

        for sheet in (strip, saliency):
            if sheet is not None and not can_save(sheet):
                _usage(f"{sheet.name} does not end like a picture that can be saved")
        present = _present(pictures)
        translator = _translator(model, device)
        settings = {"strength": strength, "steps": steps, "size": size, "seed": seed}
        total = translator.check(strength=strength, steps=steps, size=size)
        sources = {path.resolve() for path in pictures}
        _keep_apart(sources, [_target(pictures[0], output, translator.name), gif, strip, saliency])
        failed, taken = len(pictures) - len(present), set[Path]()
        with _bars() as bars:
            for path in present:
                target = _target(path, output, translator.name)
                try:
                    if target.resolve() in sources - {path.resolve()}:
                        raise ImageError(path.name, f"its result would write over {target.name}, another source")
                    if target.resolve() in taken:
                        raise ImageError(path.name, f"another picture of this call is already saved as {target.name}")
                    if target != output:
                        _spare(target, path)
                    result = _translate_one(translator, path, target, settings, keep_metadata, bars, total)
                    taken.add(target.resolve())
                    _save_extras(result, gif, strip, saliency)
                except ImageError as error:
                    failed += 1
                    _say(str(error))
                    continue
                _print_result(path, target, result, as_json)
    if failed:
        raise typer.Exit(FAILED if failed == len(pictures) else SOME_FAILED)


def _present(pictures: list[Path]) -> list[Path]:
    """The pictures that are there; says so of each that is not, and ends where none is.

    To be asked before torch is imported, which takes a second, and ten where the machine is busy.
    """
    missing = [path for path in pictures if not path.exists()]
    for path in missing:
        _say(f"{path.name}: there is no such file")
    if len(missing) == len(pictures):
        raise typer.Exit(FAILED)
    return [path for path in pictures if path not in missing]


def _spare(target: Path, source: Path) -> None:
    """Raises ImageError where a result would replace what was not made here."""
    from translate.images.metadata import read_provenance
    from translate.images.types import ImageError

    if os.path.lexists(target) and target.resolve() != source.resolve() and read_provenance(target) is None:
        reason = f"{target.name} is there already and was not made by cf-translate; -o names another place"
        raise ImageError(source.name, reason)


def _keep_apart(sources: set[Path], outputs: list[Path | None]) -> None:
    """The pictures of one call's --gif, --strip and --saliency must not write over its sources or over each other."""
    main, *extras = [path.resolve() for path in outputs if path is not None]
    for number, extra in enumerate(extras):
        if extra in sources or extra == main or extra in extras[:number]:
            _usage(f"{extra.name} would write over another picture of this call")
        if extra.is_dir():
            _usage(f"{extra.name} is a folder")


def _translate_one(
    translator: Translator,
    path: Path,
    target: Path,
    settings: dict[str, Any],
    keep_metadata: bool,
    bars: Bars,
    total: int,
) -> Result:
    from translate.images.read import open_image
    from translate.images.write import save_image

    photo = open_image(path)
    for note in photo.notes:
        _say(f"{path.name}: {note}")
    task = bars.add_task(path.name, total=total)
    result = translator(photo, **settings, watch=lambda frame: bars.advance(task))
    _make_folder(target)
    save_image(result.picture, target, like=photo, made=result.made, keep_metadata=keep_metadata, source=path)
    return result


def _save_extras(result: Result, gif: Path | None, strip: Path | None, saliency: Path | None) -> None:
    from translate.explain import explain
    from translate.images.write import save_image
    from translate.trajectory import make_strip, save_gif

    for extra in (gif, strip, saliency):
        if extra is not None:
            _make_folder(extra)
    if gif is not None:
        save_gif(result.photo.rgb, result.frames, gif)
    if strip is not None:
        save_image(make_strip(result.photo.rgb, result.frames), strip, made=result.made)
    if saliency is not None:
        save_image(explain(result, result.translator.config.target or "the target"), saliency, made=result.made)


def _make_folder(target: Path) -> None:
    from translate.images.types import ImageError

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ImageError(target.name, f"it cannot be saved: {target.parent.name} is a file, not a folder") from error
    except OSError as error:
        raise ImageError(target.name, f"the folder {target.parent.name} cannot be made ({error.strerror})") from error


def _print_result(path: Path, target: Path, result: Result, as_json: bool) -> None:
    accepted = result.translator.accepts(result.photo)
    if accepted is False:
        _say(f"{path.name}: this does not look like {result.translator.config.source}; the result may be poor")
    if not as_json:
        typer.echo(target)
        return
    row = {
        "source": str(path), "output": str(target), "energies": [round(e, 5) for e in result.energies],
        "seconds": round(result.seconds, 3), "looks_like_source": accepted, **result.made,
    }  # fmt: skip
    typer.echo(json.dumps(row))


def _target(path: Path, output: Path | None, model: str) -> Path:
    from translate.images.formats import can_save

    suffix = path.suffix if can_save(path) else ".png"
    if output is None:
        return path.with_name(f"{path.stem}-{model}{suffix}")
    if output.is_dir() or not output.suffix:
        return output / f"{path.stem}{suffix}"
    return output


@app.command()
def batch(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of pictures, with folders in it; also a URL: s3://bucket/folder, hf://datasets/owner/name.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str, typer.Argument(help="The folder for the results: the same tree; also a URL.", show_default=False)
    ],
    model: ModelName,
    glob: Annotated[str, typer.Option(help="Only pictures with such a name: '*.jpg', 'summer/*'.")] = "*",
    recursive: Annotated[bool, typer.Option("--recursive/--no-recursive", help="Also the folders in it.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are not finished results of this batch.")
    ] = False,
    format: Annotated[
        Literal["keep", "png", "jpeg", "webp"], typer.Option(help="Format of the results; keep: the source's own.")
    ] = "keep",
    keep_metadata: KeepMetadata = False,
    max_megapixels: Annotated[
        float, typer.Option(min=0.01, max=178, help="Larger pictures are refused before they are decoded.")
    ] = 120,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Add a line of JSON for each picture to this file.")
    ] = None,
    strength: Strength = None,
    steps: Steps = None,
    size: Size = None,
    seed: Seed = 0,
    device: Device = "auto",
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray: many machines, or this one, by Ray (the extra ray).")
    ] = "local",
) -> None:
    """Translate a folder of pictures into another folder. The same call again continues where it stopped."""
    with _sentences():
        from translate.folders.plan import make_plan
        from translate.folders.report import Report, Summary, printable

        try:
            plan = make_plan(source, target, glob=glob, recursive=recursive, format=format)
        except ValueError as error:
            _usage(str(error))
        if not plan.items and not plan.refused:
            raise ValueError(f"{plan.source.name} holds no picture" + (f" named {glob}" if glob != "*" else ""))

        _model_at_hand(model)

        from translate.folders.run import preview, run
        from translate.folders.settings import Settings

        carry_out: Callable[..., Iterator[Outcome]] = run
        if engine == "ray":
            from translate.folders import ray as ray_engine

            ray_engine.check()
            carry_out = partial(ray_engine.run, device=device)
        settings = Settings(strength, steps, size, seed, keep_metadata, overwrite, round(max_megapixels * 1e6))
        translator = _translator(model, device if engine == "local" else "cpu")  # Ray's workers have their own devices
        total = translator.check(strength=strength, steps=steps, size=size)
        summary = Summary()
        with Report(None if dry_run else report) as lines, _bars() as bars, _stop_signals() as stopped:
            files = bars.add_task("files", total=len(plan.items))
            to_walk = total * len(plan.items)
            chain = bars.add_task("steps", total=to_walk, visible=not dry_run)
            outcomes = (
                preview(plan, translator, settings)
                if dry_run
                else carry_out(
                    plan, translator, settings, stopped=lambda: bool(stopped), step=lambda: bars.advance(chain)
                )
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
    """Collect Ctrl-C and SIGTERM in a list. The caller looks at it and ends in good order."""
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
    target: Annotated[
        str,
        typer.Option(
            help="Pictures of what results should look like: a folder, a zip, a folder in a zip (pair.zip/trainB), or "
            "hf://datasets/owner/name/folder."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The run folder: log, sample sheets, model, state.")],
    source: Annotated[
        str | None,
        typer.Option(help="Pictures of what will be translated, named likewise. Without them chains start at noise."),
    ] = None,
    preset: Annotated[
        int | None,
        typer.Option(help="Short side of the model's pictures: 64, 128 or 256. Default: 128; for a style 256."),
    ] = None,
    trunk: Annotated[
        Literal["efficientnet-lite0", "none"],
        typer.Option(help="The frozen network whose features the energy reads. none: an energy from scratch."),
    ] = "efficientnet-lite0",
    shape: Annotated[
        bool,
        typer.Option("--shape", help="For things that differ in shape more than in colour, such as cats and dogs."),
    ] = False,
    style: Annotated[
        bool, typer.Option("--style", help="Fit a style to the paintings in --target. It needs no source pictures.")
    ] = False,
    from_noise: Annotated[
        bool, typer.Option("--from-noise", help="Learn to remove noise: for restoring, generating and scoring.")
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after this time, with a model that can be used.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out where it stopped.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Random seed. Default: 0.")] = None,
    source_name: Annotated[
        str | None, typer.Option(help="The source domain in words. Default: the name of the folder or the zip.")
    ] = None,
    target_name: Annotated[
        str | None, typer.Option(help="The target domain in words. Default: the name of the folder or the zip.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="SqueezeNet 1.1 features (.npz) for a KID curve. Default: those on this disk, if any."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Train a direction from two folders of pictures, or fit a style to one folder of paintings.

    On several processes: torchrun --standalone --nproc-per-node 2 -m cli train ...
    """
    scratch = trunk == "none"
    if resume and (preset is not None or seed is not None or shape or from_noise or scratch):
        _usage("a resumed run keeps its own settings: leave out --preset, --seed, --shape, --from-noise and --trunk")
    if preset not in (None, 64, 128, 256):
        _usage(f"--preset wants 64, 128 or 256, not {preset}")
    if style and (source is not None or resume or shape or from_noise or scratch or minutes is not None):
        _usage("--style takes only paintings: no --source, --resume, --shape, --from-noise, --trunk or --minutes")
    if from_noise and source is not None:
        _usage("--from-noise learns from the target pictures alone: leave out --source")
    if shape and (source is None or scratch):
        _usage("--shape needs --source, and the trunk")
    with _sentences():
        from translate.training.datasets import HUB, open_dataset

        for place in (target, source):
            if place is not None and not place.startswith(HUB):
                open_dataset(place)  # says what is wrong with it before torch is imported

        from translate.folders.report import printable
        from translate.training.fit import Domains, fit, fit_style_model, training_config

        def say(sentence: str) -> None:
            _say(printable(sentence))

        domains = Domains(target, out, source, source_name, target_name)
        if style:
            model = fit_style_model(domains, preset, device=device, say=say)
        else:
            config = None if resume else training_config(
                preset, seed, source=source is not None, trunk=not scratch, shape=shape, from_noise=from_noise
            )  # fmt: skip
            model = fit(
                domains, config, minutes=minutes, resume=resume, features=features, device=device, say=say,
                train=_train_with_display,
            )  # fmt: skip
        if int(os.environ.get("RANK", 0)) == 0:
            typer.echo(model)


def _train_with_display(trainer: Trainer, minutes: float | None, kid: Callable[[Tensor], float] | None) -> None:
    from translate.training.tensorboard_log import TensorBoardLog

    if not trainer.world.is_main:
        with _stop_signals() as stopped:
            trainer.train(minutes=minutes, stop=lambda: bool(stopped))
        return
    with _stop_signals() as stopped, _bars("{task.fields[state]}") as bars:
        log = TensorBoardLog.open(trainer.run_dir, trainer.iteration)
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
            if log is not None:
                log.add(progress)
            if progress.sheet is not None:
                _draw_curves(trainer.run_dir)

        try:
            trainer.train(minutes=minutes, stop=lambda: bool(stopped), report=show, kid=kid)
        finally:
            _draw_curves(trainer.run_dir)
            if log is not None:
                log.close()
    kids = trainer.log.kids()
    if (best := trainer.checkpoints.best(kids)) is not None:
        _say(f"the lowest KID on training pictures, {kids[best]:.1f}: {trainer.checkpoints.path(best)}")
    if trainer.iteration < trainer.config.curriculum.iterations:
        why = f"{stopped[0].name}: " if stopped else ""
        done = f"{trainer.iteration} of {trainer.config.curriculum.iterations} iterations"
        _say(f"{why}stopped after {done}; go on with --resume")


def _draw_curves(run: Path) -> None:
    from translate.training.curves import save_curves

    try:
        save_curves(run)
    except OSError as error:  # a picture of a training is no reason to end it
        _say(f"curves.png cannot be written: {error.strerror or error}")


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
        from translate.images.training_set import list_images

        try:
            curve = [float(part) for part in strengths.split(",")] if strengths else [None]
        except ValueError:
            _usage(f"--strengths wants numbers with commas between, not {strengths}")
        for folder in (source, target, train_source, train_target, translated):
            if folder is not None:
                list_images(folder)  # says what is wrong with it
        _model_at_hand(model)

        from translate.metrics.evaluation import evaluate_folders, table

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


AnyModel = Annotated[
    str, typer.Argument(help="A shipped name, a file, a run folder, or owner/name on the Hub.", show_default=False)
]
ResultFile = Annotated[Path, typer.Option("--output", "-o", help="The picture to write.", show_default=False)]


@app.command("generate")
def generate_pictures(
    model: AnyModel,
    output: ResultFile,
    count: Annotated[int, typer.Option("-n", "--count", help="How many pictures.")] = 16,
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="Of the first; the next has the next seed.")] = 0,
    towards: Annotated[
        int | None,
        typer.Option(min=0, max=2**62, help="Show the way from the picture of --seed to the one of this seed."),
    ] = None,
    scale: Annotated[int, typer.Option(min=1, max=8, help="Enlarge each picture on the sheet.")] = 2,
    device: Device = "auto",
) -> None:
    """Make pictures from noise, with a model that was trained without a source folder."""
    with _sentences():
        from translate.images.formats import can_save
        from translate.images.write import save_image

        if not can_save(output):
            _usage(f"{output.name} does not end like a picture that can be saved")
        translator = _calibrated(model, device, "make pictures from noise")

        from translate.tasks.generate import check, generate, interpolate, sheet

        total = check(translator, count)
        with _bars() as bars:
            task = bars.add_task("steps", total=total)
            if towards is None:
                pictures = generate(translator, count, seed, watch=lambda: bars.advance(task))
            else:
                pictures = interpolate(translator, seed, towards, count, watch=lambda: bars.advance(task))
        made = {"task": "generate", "model": translator.name, "digest": translator.digest, "seed": seed, "count": count}
        _make_folder(output)
        columns = None if towards is None else min(count, 8)
        save_image(
            sheet(pictures, columns, scale), output, made=made if towards is None else {**made, "towards": towards}
        )
        typer.echo(output)


@app.command("denoise")
def denoise_picture(
    model: AnyModel,
    picture: Annotated[Path, typer.Argument(help="A noisy picture of any size.", show_default=False)],
    output: ResultFile,
    sigma: Annotated[
        float | None,
        typer.Option(help="Of the noise, as a share of the full range (0.1: 26 levels of 255); default: by guess."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Remove noise from a picture, with a model that was trained without a source folder."""
    with _sentences():
        translator, photo = _restorer(model, device, picture, output)

        from translate.tasks.restore import denoise

        _save_restored(denoise(translator, photo, sigma), picture, output, as_json)


@app.command("inpaint")
def inpaint_picture(
    model: AnyModel,
    picture: Annotated[Path, typer.Argument(help="A picture of any size, with a hole.", show_default=False)],
    output: ResultFile,
    mask: Annotated[
        Path | None, typer.Option(help="A black and white picture of the same size: white is what will be filled.")
    ] = None,
    box: Annotated[
        str | None, typer.Option(metavar="LEFT,TOP,RIGHT,BOTTOM", help="The hole in pixels, in place of a mask.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fill a hole in a picture; all other pixels stay as they are, bit for bit where the format can."""
    if (mask is None) == (box is None):
        _usage("give either --mask or --box")
    with _sentences():
        from translate.images.formats import saved_format
        from translate.images.read import open_image

        try:
            left, top, right, bottom = (0, 0, 0, 0) if box is None else (int(part) for part in box.split(","))
        except ValueError:
            _usage(f"--box wants LEFT,TOP,RIGHT,BOTTOM in pixels, not {box}")
        if mask is not None and output.resolve() == mask.resolve():
            _usage(f"{output.name} would write over the mask")
        hole = (left, top, right, bottom) if mask is None else open_image(mask)
        translator, photo = _restorer(model, device, picture, output)

        from translate.tasks.restore import inpaint

        restored = inpaint(translator, photo, hole)
        if saved_format(output) not in ("PNG", "TIFF", "BMP"):
            _say(f"{output.name}: this format changes every pixel a little; PNG keeps those outside the hole")
        _save_restored(restored, picture, output, as_json)


def _restorer(model: str, device: str, picture: Path, output: Path) -> tuple[Translator, LoadedImage]:
    from translate.images.formats import can_save
    from translate.images.read import open_image

    if not can_save(output):
        _usage(f"{output.name} does not end like a picture that can be saved")
    if output.resolve() == picture.resolve():
        _usage(f"{output.name} would write over the source")
    photo = open_image(picture)
    return _calibrated(model, device, "restore pictures"), photo


def _calibrated(model: str, device: str, task: str) -> Translator:
    """A model that can do what only one that was trained from noise and calibrated can."""
    translator = _translator(model, device)

    from translate.tasks.calibration import load_stats, require_denoiser

    require_denoiser(translator.config, model, task)
    load_stats(translator.config, model)  # the name as it was given, for the command that the refusal tells
    return translator


def _save_restored(restored: Restored, source: Path, output: Path, as_json: bool) -> None:
    from translate.images.write import save_image

    for note in restored.photo.notes:
        _say(f"{source.name}: {note}")
    _make_folder(output)
    save_image(restored.picture, output, like=restored.photo, made=restored.made, source=source)
    row = {"source": str(source), "output": str(output), "seconds": round(restored.seconds, 3), **restored.made}
    typer.echo(json.dumps(row) if as_json else output)


@app.command("score")
def score_pictures(
    model: AnyModel,
    pictures: Annotated[list[Path], typer.Argument(help="Pictures of any size.", show_default=False)],
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say how unusual pictures are for the domain of a model."""
    with _sentences():
        from dataclasses import asdict

        from translate.images.types import ImageError

        present = _present(pictures)
        translator = _calibrated(model, device, "say how unusual a picture is")

        from translate.tasks.score import score

        failed = len(pictures) - len(present)
        for path in present:
            try:
                verdict = score(translator, path)
            except ImageError as error:
                failed += 1
                _say(str(error))
                continue
            row = {"source": str(path), "model": translator.name, "digest": translator.digest, **asdict(verdict)}
            mark = "OUTLIER, " if verdict.outlier else ""
            typer.echo(json.dumps(row) if as_json else f"{path}: {mark}{verdict.words} ({verdict.unusual:.2f})")
    if failed:
        raise typer.Exit(FAILED if failed == len(pictures) else SOME_FAILED)


@app.command("calibrate")
def calibrate_model(
    model: Annotated[str, typer.Argument(help="A model file or a run folder.", show_default=False)],
    pictures: Annotated[Path, typer.Option(help="The folder that it was trained on.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A model file to write; default: into the model itself.")
    ] = None,
) -> None:
    """Teach a model what is usual in its domain, for denoise, inpaint, generate and score; kept in its file."""
    with _sentences():
        from models.registry import local, locate
        from translate.images.training_set import list_images, read_training_folder

        if output is not None and output.suffix != ".safetensors":
            _usage(f"{output.name} must end with .safetensors")
        list_images(pictures)  # says what is wrong with it
        place = locate(model)
        if output is None and local(model) is None:
            _usage(f"{model} came ready-made; say with --output FILE.safetensors where its calibrated copy shall go")

        from dataclasses import replace

        from models.model import Model
        from translate.tasks.calibration import calibrate, require_denoiser

        loaded = Model.load(place)
        require_denoiser(loaded.config, model, "be calibrated")
        squares, bad = read_training_folder(pictures, loaded.config.schedule.finest)
        for error in bad:
            _say(f"left out: {error}")
        target = output or place
        replace(loaded, config=calibrate(loaded.energy, loaded.config, squares)).save(target)
        typer.echo(target)


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
    """Name the shipped models, and those that were pulled from the Hub."""
    with _sentences():
        from models.hub import pulled
        from models.model import digest, load_config
        from models.registry import locate, shipped

        for name, path in {**{name: locate(name) for name in shipped()}, **pulled()}.items():
            config = load_config(path)
            row = {
                "name": name, "source": config.source, "target": config.target, "size": config.schedule.finest,
                "strength": config.strength, "digest": digest(path),
            }  # fmt: skip
            if as_json:
                typer.echo(json.dumps(row))
            else:
                typer.echo(
                    f"{name}: {config.source or 'noise'} -> {config.target}, {config.schedule.finest} px, "
                    f"strength {config.strength:g}, {row['digest']}"
                )


@models_app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="A shipped name, a file, a run folder, or owner/name.")],
) -> None:
    """Print a model's card; of a run folder the one that a push would write; of a file what it says of itself."""
    with _sentences():
        from dataclasses import asdict

        from models.model import Model
        from models.registry import card, locate
        from translate.folders.report import printable
        from translate.training.cards import write_card

        path = locate(name)
        config = Model.load(path).config
        text = write_card(path, name=path.resolve().parent.name) if Path(name).is_dir() else card(name)
        typer.echo("\n".join(map(printable, text.splitlines())) if text else json.dumps(asdict(config), indent=1))


@models_app.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME[@REVISION]", help="A model on the Hugging Face Hub.")],
) -> None:
    """Fetch a model from the Hub, or bring it up to date; from then on it needs no network."""
    with _sentences():
        from models.hub import parse_name, pull
        from models.model import Model

        path = pull(parse_name(name))
        model = Model.load(path)
        config = model.config
        _say(f"{config.source or 'noise'} -> {config.target}, digest {model.digest}; use it with -m {name}")
        typer.echo(path)


@models_app.command("push")
def push_model(
    model: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a model file.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="What it shall be called on the Hugging Face Hub.")],
    licence: Annotated[
        str | None, typer.Option("--licence", "--license", help="Of the model, such as mit or cc-by-nc-4.0.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="What it was trained on, in your words, and on whose terms.")] = None,
    limits: Annotated[str | None, typer.Option(help="Where it fails, in your words.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="What `evaluate --json` printed; default: figures.json in the run folder.")
    ] = None,
    samples: Annotated[
        bool, typer.Option("--samples", help="Also send the last sample sheet, which shows eight of YOUR PICTURES.")
    ] = False,
    public: Annotated[bool, typer.Option("--public", help="For everybody; without it only you see it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put a model on the Hugging Face Hub, with a card written from its run; asks before anything is sent."""
    with _sentences():
        import tempfile

        from models.hub import CARD, parse_name, push
        from models.registry import locate
        from translate.folders.report import printable
        from translate.training.cards import gather

        wanted = parse_name(name)
        if wanted.revision is not None:
            _usage("a push goes to OWNER/NAME, without a revision")
        if not model.exists():
            raise FileNotFoundError(f"there is no run folder or model file {model}")
        with tempfile.TemporaryDirectory() as place:
            files = gather(
                locate(str(model)), Path(place), name=wanted, licence=licence, data=data, limits=limits,
                figures=figures, samples=samples,
            )  # fmt: skip
            card = (Path(place) / CARD).read_text(encoding="utf-8")
            _say("\n".join(f"    {printable(line)}" for line in card.splitlines()))
            sizes = ", ".join(f"{path.name} ({path.stat().st_size / 1e3:,.0f} kB)" for path in files)
            _say(f"{sizes} go to {wanted} on the Hub, {'for everybody to see' if public else 'which only you see'}.")
            if not yes:
                typer.echo("Send them? [y/N] ", err=True, nl=False)  # typer.confirm would put a space on stdout
                if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                    _fail("nothing was sent")
            address = push(wanted, Path(place), public=public)
        _say(f"Use it with: cf-translate translate PHOTO -m {wanted}")
        typer.echo(address)


@models_app.command("export")
def export_model(
    name: Annotated[str, typer.Argument(help="A run folder, a file, a shipped name, or owner/name.")],
    file: Annotated[Path, typer.Argument(help="The model file to write, FILE.safetensors.")],
    strength: Strength = None,
    gate: Annotated[
        float | None, typer.Option(help="How firmly a faint change is dropped beside a strong one, in 0..1; 0: not.")
    ] = None,
    white_point: Annotated[
        float | None, typer.Option(help="Above 1: the nearer to 1, the less white pixels change.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option(help="Steps of each level at strength 1, coarse first, such as 8,14,6.")
    ] = None,
    finest: Annotated[int | None, typer.Option(help="Leave out all levels finer than this, in pixels.")] = None,
    source_name: Annotated[str | None, typer.Option(help="What it translates, in a word or two.")] = None,
) -> None:
    """Write a model to a file of its own, with another default strength or another chain."""
    if file.suffix != ".safetensors":
        _usage(f"{file.name} must end with .safetensors")
    try:
        counts = None if steps is None else [int(part) for part in steps.split(",")]
    except ValueError:
        _usage(f"--steps wants whole numbers with commas between, not {steps}")
    with _sentences():
        from models.model import Model
        from models.registry import locate

        loaded = Model.load(locate(name))
        try:
            edited = loaded.edited(
                strength=strength, gate=gate, white_point=white_point, steps=counts, finest=finest, source=source_name
            )
        except ValueError as error:
            _usage(str(error))
        edited.save(file)
        typer.echo(file)


def _model_at_hand(model: str) -> None:
    """Raise BadModel where there is no such model, without importing torch, which takes seconds."""
    from models.registry import locate

    locate(model)


def _translator(model: str, device: str) -> Translator:
    _model_at_hand(model)

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
    except (ValueError, ArithmeticError) as error:  # ImageError, BadModel, Diverged and settings out of range
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
