"""The command line: options and printing. All work is done in translate/ and models/, which are imported late."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from models.memory import keep_freed_memory
from translate.cli_options import (
    AnyModel,
    Device,
    Fast,
    Json,
    KeepMetadata,
    ModelName,
    OptionalPath,
    Seed,
    Size,
    Steps,
    Strength,
    arg,
    opt,
)  # fmt: skip
from translate.console import (
    BatchBars,
    FileBars,
    OneSentenceGroup,
    TrainingBar,
    advance,
    echo,
    echo_err,
    echo_lines,
    existing_files,
    exit_after,
    numbers,
    progress_bars,
    stop_signals,
    usage_errors,
    user_errors,
    wrong_usage,
)  # fmt: skip
from translate.model_commands import models_app

if TYPE_CHECKING:
    from translate.folders.files import Failed, Saved
    from translate.folders.report import Outcome
    from translate.images.types import LoadedImage
    from translate.pipeline import Translator
    from translate.tasks.pixels import Restored

SMALL = 256  # px of a working copy

app = typer.Typer(
    cls=OneSentenceGroup,
    help="Translate pictures from one domain to another by a chain that descends a learned energy.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models_app, name="models")


def _version(wanted: bool) -> None:
    if wanted:
        from translate import __version__

        typer.echo(f"cf-translate {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, opt("Print the version.", "--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Results go to stdout, progress and messages to stderr. Exit codes: 0 all done, 1 failed, 2 wrong usage,
    3 some pictures failed."""
    # Read when torch comes. Threads that spin while they wait cost half of the speed as soon as cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed_memory()


@app.command()
def translate(
    pictures: Annotated[list[Path], arg("Pictures of any size; the results keep it. - reads stdin.")],
    model: ModelName,
    output: Annotated[
        str | None, opt("A file (replaced), folder/, or - for stdout. Default: beside the source.", "--output", "-o")
    ] = None,
    strength: Strength = None,
    steps: Steps = None,
    size: Size = None,
    seed: Seed = 0,
    fast: Fast = False,
    device: Device = "auto",
    gif: Annotated[OptionalPath, opt("Also write the chain as an animation (one picture only).")] = None,
    strip: Annotated[OptionalPath, opt("Also write the chain as a strip (one picture only).")] = None,
    saliency: Annotated[OptionalPath, opt("Also write what changed and why, as one sheet (one picture only).")] = None,
    keep_metadata: KeepMetadata = False,
    as_json: Json = False,
) -> None:
    """Translate one or many pictures.

    The same call again replaces its own results. A file that cf-translate did not make is replaced only if you name it.
    """
    sheets = [path for path in (strip, saliency) if path is not None]
    if size is None or size <= SMALL:
        # Read when torch comes. At this size a second thread waits longer than it works; batches have one as well.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    with user_errors():
        from translate.folders.naming import Output
        from translate.folders.pipes import check_pipes, piped
        from translate.folders.plan import check_outputs, plan_files

        with usage_errors():
            check_pipes(pictures, output, as_json)
            check_outputs(pictures, None if output in (None, "-") else Output.of(output), gif, sheets)
        present = existing_files(pictures)
        translator = _load(model, device)

        from translate.explain import save_views
        from translate.folders.files import Failed, translate_files
        from translate.options import FileOptions, SamplingOptions

        options = FileOptions(SamplingOptions(strength, steps, size, seed, fast), keep_metadata)
        total = translator.check(options.sampling)
        with piped(present, output) as pipes, progress_bars() as bars:
            with usage_errors():
                plan = plan_files(pipes.sources, pipes.output, translator.name, [gif, *sheets] if gif else sheets)
            echo_lines(f"{refusal.name}: {refusal.reason}" for refusal in (*plan.refused, *plan.passed_over))
            show, failed = FileBars(bars, len(plan.items), total), len(pictures) - len(present) + len(plan.refused)
            for item in plan.items:
                with show(item.name):
                    (done,) = translate_files(translator, [item], options, callback=show.step)
                failed += isinstance(done, Failed)
                if not isinstance(done, Failed):
                    save_views(done.result, gif=gif, strip=strip, saliency=saliency)
                _print_result(done, as_json, pipes.deliver if pipes.to_stdout else echo)
    exit_after(failed, len(pictures) - len(plan.passed_over))


def _print_result(done: Saved | Failed, as_json: bool, deliver: Callable[[Path], None]) -> None:
    from translate.folders.files import Failed

    source = done.item.source
    if isinstance(done, Failed):
        echo_err(f"{source.name}: {done.reason}")
        return
    result = done.result
    accepted = result.translator.accepts(result.photo)
    notes = [*done.notes]
    if accepted is False:
        notes.append(f"this does not look like {result.translator.config.source}; the result may be poor")
    for note in notes:
        echo_err(f"{source.name}: {note}")
    if not as_json:
        deliver(done.item.target)
        return
    row = {
        "source": str(source), "output": str(done.item.target), "energies": [round(e, 5) for e in result.energies],
        "seconds": round(result.seconds, 3), "looks_like_source": accepted, **result.provenance,
    }  # fmt: skip
    echo(json.dumps(row))


@app.command()
def batch(
    source: Annotated[str, arg("A folder of pictures, or a URL (s3://..., hf://...).")],
    target: Annotated[str, arg("The folder for the results: the same tree; also a URL.")],
    model: ModelName,
    glob: Annotated[str, opt("Only pictures with such a name: '*.jpg', 'summer/*'.")] = "*",
    recursive: Annotated[bool, opt("Also the folders in it.", "--recursive/--no-recursive")] = True,
    overwrite: Annotated[bool, opt("Replace files that are no results of this batch.", "--overwrite")] = False,
    format: Annotated[Literal["keep", "png", "jpeg", "webp"], opt("Of the results. keep: the source's.")] = "keep",
    keep_metadata: KeepMetadata = False,
    max_megapixels: Annotated[float, opt("Refuse larger pictures, undecoded.", min=0.01, max=178)] = 120,
    dry_run: Annotated[bool, opt("Say what would be done, and do nothing.", "--dry-run")] = False,
    report: Annotated[OptionalPath, opt("Add a line of JSON for each picture.", metavar="FILE.jsonl")] = None,
    strength: Strength = None,
    steps: Steps = None,
    size: Size = None,
    seed: Seed = 0,
    fast: Fast = False,
    device: Device = "auto",
    workers: Annotated[int | None, opt("How many pictures at a time. Default: as many as cores.", min=1)] = None,
    engine: Annotated[Literal["local", "ray"], opt("ray: on many machines; needs the extra ray.")] = "local",
) -> None:
    """Translate a folder of pictures into another folder. The same call again continues where it stopped."""
    with user_errors():
        from translate.folders.plan import make_plan
        from translate.folders.report import Report, Summary, passed_over

        with usage_errors():
            plan = make_plan(source, target, glob=glob, recursive=recursive, format=format)
        if not plan.items and not plan.refused:
            raise ValueError(f"{plan.source.name} holds no picture" + (f" named {glob}" if glob != "*" else ""))
        _locate(model)

        from translate.options import FileOptions, SamplingOptions

        sampling = SamplingOptions(strength, steps, size, seed, fast)
        options = FileOptions(sampling, keep_metadata, overwrite, round(max_megapixels * 1e6))
        carry_out = _engine(engine, device, dry_run)
        translator = _load(model, device if engine == "local" else "cpu")  # Ray's workers have their own devices
        total, summary = translator.check(sampling), Summary()
        with Report(None if dry_run else report, echo_err) as lines, progress_bars() as bars, stop_signals() as stopped:
            show = BatchBars(bars, len(plan.items), total, dry_run)
            how: dict[str, Any] = {"workers": workers, "stopped": lambda: bool(stopped), "step": show.step}
            for outcome in carry_out(plan, translator, options, **how):
                summary.add(outcome)
                lines.write(outcome)
                show(outcome)
        echo(f"{summary}{passed_over(plan.passed_over)}")
    if stopped:
        echo_err(f"{stopped[0].name}: stopped; the same command goes on from here")
        raise typer.Exit(128 + stopped[0])
    exit_after(summary.without_result, summary.counts.total())
    exit_after(int(lines.cut_short), 1)


def _engine(name: str, device: str, dry_run: bool) -> Callable[..., Iterator[Outcome]]:
    """What carries out a plan, or says what it would do."""
    from translate.folders.run import preview, run

    if name == "ray":
        from translate.folders import ray

        ray.check()
    if dry_run:
        return lambda plan, translator, options, **_: preview(plan, translator, options)
    return partial(ray.run, device=device) if name == "ray" else run


@app.command()
def train(
    target: Annotated[str, opt("What results should look like: a folder, a zip, hf://datasets/...")],
    out: Annotated[Path, opt("The run folder: log, sample sheets, model, state.")],
    source: Annotated[str | None, opt("What will be translated. Without it: making pictures.")] = None,
    preset: Annotated[int | None, opt("Short side in pixels: 64, 128 or 256. Default: 128; for a style 256.")] = None,
    trunk: Annotated[
        Literal["efficientnet-lite0", "none"], opt("The network that the energy reads.")
    ] = "efficientnet-lite0",
    shape: Annotated[bool, opt("For things that differ in shape, such as cats and dogs.", "--shape")] = False,
    style: Annotated[bool, opt("Fit a style to the paintings in --target, without --source.", "--style")] = False,
    from_noise: Annotated[bool, opt("Learn to remove noise, without --source.", "--from-noise")] = False,
    minutes: Annotated[float | None, opt("Stop after this time, with a model that can be used.", min=0)] = None,
    resume: Annotated[bool, opt("Continue the run in --out where it stopped.", "--resume")] = False,
    seed: Annotated[int | None, opt("Random seed. Default: 0.", min=0, max=2**63 - 1)] = None,
    source_name: Annotated[str | None, opt("The source domain in words. Default: the name of its folder.")] = None,
    target_name: Annotated[str | None, opt("The target domain in words. Default: the name of its folder.")] = None,
    features: Annotated[OptionalPath, opt("SqueezeNet 1.1 features (.npz), for a KID curve.")] = None,
    device: Device = "auto",
) -> None:
    """Train a direction from two folders of pictures, or fit a style to one folder of paintings.

    On several processes: torchrun --standalone --nproc-per-node 2 -m cli train ...
    """
    scratch = trunk == "none"
    from translate.options import check_training

    with usage_errors():
        check_training(
            preset, source=source is not None, scratch=scratch, shape=shape, style=style, from_noise=from_noise,
            resume=resume, timed=minutes is not None, seeded=seed is not None,
        )  # fmt: skip
    with user_errors():
        from translate.training.datasets import HUB, open_dataset

        for place in (target, source):
            if place is not None and not place.startswith(HUB):
                open_dataset(place)  # says what is wrong with it before torch is imported

        from translate.training.fit import Domains, fit, training_config

        config = None if resume or style else training_config(
            preset, seed, source=source is not None, trunk=not scratch, shape=shape, from_noise=from_noise
        )  # fmt: skip
        with stop_signals() as stopped, progress_bars("{task.fields[state]}") as bars:
            model = fit(
                Domains(target, out, source, source_name, target_name), config, style=style, preset=preset,
                minutes=minutes, resume=resume, features=features, device=device, say=echo_err,
                callback=TrainingBar(bars), stop=lambda: bool(stopped),
            )  # fmt: skip
        if int(os.environ.get("RANK", 0)) == 0:
            if stopped:
                echo_err(f"stopped by {stopped[0].name}")
            echo(model)


@app.command()
def evaluate(
    source: Annotated[Path, opt("Test pictures to translate.", show_default=False)],
    target: Annotated[Path, opt("Test pictures of the target domain.", show_default=False)],
    model: Annotated[str | None, arg("A shipped name, a file, a run folder, or owner/name on the Hub.")] = None,
    train_source: Annotated[OptionalPath, opt("For the rate's classifier; default: trainA beside testA.")] = None,
    train_target: Annotated[OptionalPath, opt("For the rate's classifier; default: trainB beside testB.")] = None,
    translated: Annotated[
        list[Path] | None, opt("Any program's results, named after the sources; may be repeated.")
    ] = None,
    strengths: Annotated[str | None, opt("A curve: strengths with commas between, such as 0.5,1,1.5,2.")] = None,
    network: Annotated[
        list[str] | None,
        opt("inception, efficientnet-lite2, squeezenet; may be repeated. Default: all that can be had."),
    ] = None,
    features: Annotated[OptionalPath, opt("SqueezeNet 1.1 features (.npz). Default: torchvision's weights.")] = None,
    size: Annotated[int, opt("Side of the pictures that are compared, in pixels.", min=64, max=1024)] = 256,
    sheets: Annotated[OptionalPath, opt("A folder for sheets of the best, middle and worst pictures.")] = None,
    device: Device = "auto",
    as_json: Json = False,
    as_csv: Annotated[bool, opt("The figures as CSV on stdout.", "--csv")] = False,
) -> None:
    """Measure a model or any program's results, beside untouched and recoloured pictures.

    Realism, domain rate, content and white change. Needs the extra evaluate."""
    if as_json and as_csv:
        wrong_usage("--json and --csv do not go together")
    if model is None and not translated:
        wrong_usage("give a model, or results with --translated")
    with user_errors():
        from translate.metrics.extra import require

        require("evaluate")
        curve = numbers(strengths, "--strengths", kind=float) if strengths else [None]
        if model is not None:
            _locate(model)

        from translate.metrics.folders import Folders

        folders = Folders(source, target, train_source, train_target, translated or ())

        from translate.metrics import evaluation, extremes, tables

        translator = None if model is None else _load(model, device)
        for strength in curve:
            if translator is not None:
                translator.check(strength=strength)
        with progress_bars() as bars:
            report = evaluation.evaluate(
                folders, translator, strengths=curve, networks=network, features=features, size=size, bars=bars,
                say=echo_err, keep=None if sheets is None else extremes.keeper(sheets),
            )  # fmt: skip
        if as_json:
            typer.echo(json.dumps(report.as_dict()))
        elif as_csv:
            typer.echo(report.as_csv(), nl=False)
        else:
            from rich.console import Console

            Console().print(tables.table(report))


@app.command()
def panel(
    a: Annotated[OptionalPath, arg("A folder of results.")] = None,
    b: Annotated[OptionalPath, arg("Another one.")] = None,
    sources: Annotated[OptionalPath, opt("What both were made from; files are matched by name.")] = None,
    votes: Annotated[Path, opt("The panel's folder: its key and everybody's votes.")] = Path("panel"),
    voter: Annotated[str, opt("Who votes; each voter has a file.")] = "me",
    rows: Annotated[int | None, opt("At most so many rows. Default: all.", min=1)] = None,
    seed: Annotated[int, opt("Of the order and the sides.", min=0)] = 0,
    port: Annotated[int, opt("Where the page answers; 0: a free one.", min=0, max=65535)] = 0,
    sheets: Annotated[OptionalPath, opt("No page: write blind sheets, their key and a form into this folder.")] = None,
    tally: Annotated[OptionalPath, opt("No page: count the votes in this panel's folder.")] = None,
    as_json: Json = False,
) -> None:
    """Vote blind between two folders of results, on a page of this machine. Needs the extra evaluate."""
    if tally is not None and (a is not None or sheets is not None):
        wrong_usage("--tally takes the panel's folder alone")
    if tally is None and (a is None or b is None or sources is None):
        wrong_usage("give two folders of results, and --sources")
    with user_errors():
        from translate.metrics.extra import require

        require("panel")

        from translate.panel.page import vote
        from translate.panel.rows import Panel
        from translate.panel.sheets import write_sheets
        from translate.panel.tally import tally_folder

        counted = None
        if tally is not None:
            counted = tally_folder(tally)
        elif a is not None and b is not None and sources is not None:
            opened = Panel.open(sheets or votes, a, b, sources, seed=seed, most=rows, say=echo_err)
            if sheets is not None:
                typer.echo("\n".join(map(str, write_sheets(opened, sheets))))
            else:
                with stop_signals() as stopped:
                    counted = vote(opened, votes, voter, port=port, say=echo_err, stop=lambda: bool(stopped))
        if counted is not None:
            typer.echo(json.dumps(counted.as_dict()) if as_json else "\n".join(counted.sentences()))


ResultFile = Annotated[Path, opt("The picture to write.", "--output", "-o", show_default=False)]


@app.command("generate")
def generate_pictures(
    model: AnyModel,
    output: ResultFile,
    count: Annotated[int, opt("How many pictures.", "-n", "--count")] = 16,
    seed: Annotated[int, opt("Of the first; the next has the next seed.", min=0, max=2**62)] = 0,
    towards: Annotated[int | None, opt("Show the way from --seed's picture to this seed's.", min=0, max=2**62)] = None,
    variety: Annotated[float | None, opt("How far pictures differ, 0 to 1.5. Default: 0.5.")] = None,
    scale: Annotated[int | None, opt("Enlarge each picture on the sheet.", min=1, max=8)] = None,
    device: Device = "auto",
) -> None:
    """Make pictures of nothing, with a model that was trained without a source folder."""
    with user_errors():
        from translate.images.formats import can_save

        if not can_save(output):
            wrong_usage(f"{output.name} does not end like a picture that can be saved")
        translator = _load(model, device)

        from translate.tasks.generate import VARIETY, check, generate, interpolate, save_sheet

        variety = VARIETY if variety is None else variety
        total = check(translator, count, variety)
        with progress_bars() as bars:
            step = partial(advance, bars, bars.add_task("steps", total=total))
            if towards is None:
                found = generate(translator, count, seed, variety, step)
            else:
                found = interpolate(translator, seed, towards, count, variety, step)
        echo(save_sheet(translator, found, output, seed=seed, towards=towards, variety=variety, scale=scale))


@app.command("denoise")
def denoise_picture(
    model: AnyModel,
    picture: Annotated[Path, arg("A noisy picture of any size.")],
    output: ResultFile,
    sigma: Annotated[float | None, opt("Of the noise, as a share of the full range. Default: estimated.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Remove noise from a picture, with a model that was trained with --from-noise."""
    with user_errors():
        photo = _opened(picture, output)
        translator = _load(model, device)

        from translate.tasks.denoise import check, denoise

        check(translator, sigma, model)  # the name as it was given, for the command in the refusal
        _save_restored(denoise(translator, photo, sigma), picture, output, as_json)


@app.command("inpaint")
def inpaint_picture(
    model: AnyModel,
    picture: Annotated[Path, arg("A picture of any size, with a hole.")],
    output: ResultFile,
    mask: Annotated[OptionalPath, opt("A black and white picture of the same size. White is filled.")] = None,
    box: Annotated[str | None, opt("The hole in pixels, in place of a mask.", metavar="LEFT,TOP,RIGHT,BOTTOM")] = None,
    seed: Annotated[int, opt("Another seed fills it otherwise.", min=0, max=2**62)] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fill a hole in a picture; all other pixels stay as they are, bit for bit where the format can."""
    if (mask is None) == (box is None):
        wrong_usage("give either --mask or --box")
    with user_errors():
        from translate.images.formats import saved_format
        from translate.images.read import open_image

        left, top, right, bottom = (0, 0, 0, 0) if box is None else numbers(box, "--box", 4)
        if mask is not None and os.path.realpath(output) == os.path.realpath(mask):
            wrong_usage(f"{output.name} would write over the mask")
        hole = (left, top, right, bottom) if mask is None else open_image(mask)
        photo = _opened(picture, output)
        translator = _load(model, device)

        from translate.tasks.inpaint import inpaint

        restored = inpaint(translator, photo, hole, seed)
        if saved_format(output) not in ("PNG", "TIFF", "BMP"):
            echo_err(f"{output.name}: this format changes every pixel a little; PNG keeps those outside the hole")
        _save_restored(restored, picture, output, as_json)


def _opened(picture: Path, output: Path) -> LoadedImage:
    """A picture to restore, once it is clear that its result can be saved."""
    from translate.images.formats import can_save
    from translate.images.limits import check_savable
    from translate.images.read import open_image

    if not can_save(output):
        wrong_usage(f"{output.name} does not end like a picture that can be saved")
    if os.path.realpath(output) == os.path.realpath(picture):
        wrong_usage(f"{output.name} would write over the source")
    photo = open_image(picture)
    check_savable(output, photo.rgb.size)
    return photo


def _save_restored(restored: Restored, source: Path, output: Path, as_json: bool) -> None:
    from translate.folders.files import save_result
    from translate.images.limits import dropped

    for note in (*restored.photo.notes, *dropped(restored.photo, output)):
        echo_err(f"{source.name}: {note}")
    save_result(restored.picture, output, restored.photo, restored.provenance, source=source)
    row = {"source": str(source), "output": str(output), "seconds": round(restored.seconds, 3), **restored.provenance}
    echo(json.dumps(row) if as_json else output)


@app.command("score")
def score_pictures(
    model: AnyModel,
    pictures: Annotated[list[Path], arg("Pictures of any size.")],
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say how unusual pictures are for the domain of a model."""
    with user_errors():
        from translate.images.types import ImageError

        present = existing_files(pictures)
        translator = _load(model, device)

        from translate.tasks.calibration import load_stats
        from translate.tasks.score import score

        load_stats(translator.config, model)  # the name as it was given, for the command in the refusal
        failed = len(pictures) - len(present)
        for path in present:
            try:
                verdict = score(translator, path)
            except ImageError as error:
                failed += 1
                echo_err(str(error))
                continue
            row = {"source": str(path), "model": translator.name, "digest": translator.digest, **asdict(verdict)}
            mark = "OUTLIER, " if verdict.outlier else ""
            echo(json.dumps(row) if as_json else f"{path}: {mark}{verdict.words} ({verdict.unusual:.2f})")
    exit_after(failed, len(pictures))


@app.command("calibrate")
def calibrate_model(
    model: Annotated[str, arg("A model file or a run folder.")],
    pictures: Annotated[Path, opt("A folder of its domain, best not trained on.", show_default=False)],
    output: Annotated[OptionalPath, opt("A model file. Default: the model itself.", "--output", "-o")] = None,
) -> None:
    """Teach a model what is usual in its domain, for denoise and score; training ends with it. Kept in its file."""
    with user_errors():
        from models.registry import local, locate
        from translate.images.training_set import list_images

        if output is not None and output.suffix != ".safetensors":
            wrong_usage(f"{output.name} must end with .safetensors")
        list_images(pictures)  # says what is wrong with it
        place = locate(model)
        if output is None and local(model) is None:
            wrong_usage(
                f"{model} came ready-made; say with --output FILE.safetensors where its calibrated copy shall go"
            )

        from translate.tasks.calibration import calibrate_file

        calibrate_file(place, pictures, output or place, model, echo_err)
        echo(output or place)


@app.command("app")
def serve_page(
    port: Annotated[int | None, opt("Default: the first free one from 7860.", min=1, max=65535)] = None,
    model: Annotated[list[str] | None, opt("Show only this model. Default: all shipped ones.", "--model", "-m")] = None,
    host: Annotated[str | None, opt("Where it listens: 0.0.0.0, ::1, ... Default: this machine alone.")] = None,
) -> None:
    """Show the web page, until Ctrl-C."""
    with user_errors():
        from app import serve

        serve(port, model or (), host)


def _locate(model: str) -> None:
    """Raise BadModel where there is no such model, without importing torch, which takes seconds."""
    from models.registry import locate

    locate(model)


def _load(model: str, device: str) -> Translator:
    _locate(model)

    from translate import Translator

    return Translator.load(model, device)


if __name__ == "__main__":
    app()
