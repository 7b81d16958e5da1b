"""The web page: python app.py, or cf-translate app. Layout and words only; translate/web/service.py does the work."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is; threads that spin take shared cores away
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

try:
    import spaces  # lends a GPU for the length of a call, on hosts that have this; must come before torch

    lend_gpu: Callable[[Any], Any] = spaces.GPU(duration=60)
except ImportError:

    def lend_gpu(run: Any) -> Any:
        return run


from translate.web.server import check_port, without_proxies

with without_proxies():  # gradio makes its clients when it is imported
    import gradio as gr
    from gradio.utils import get_upload_folder

from models.memory import share_heaps
from models.registry import shipped
from translate.explain import energy_curve
from translate.images.types import ImageError
from translate.temporary import held_folder
from translate.web.fifo_queue import Busy
from translate.web.gallery import DirectionCard, direction_card, side_by_side
from translate.web.inputs import PhotoInput, PhotosInput, UploadedInput
from translate.web.looks import THEME, source_of, style
from translate.web.service import KEPT, MAX_PICTURES, ChainProgress, FolderProgress, TranslationService
from translate.web.trajectory_cache import Trajectory

SAMPLES = Path(__file__).parent / "samples"
GRADIO_S = Path(gr.__file__).parent / "media_assets" / "images"  # pictures that come with gradio, if they still do
BORROWED = {"photo": GRADIO_S / "tower.jpg"}  # for kinds without samples of our own
MAX_FILE = "20mb"
STRENGTH_FACTORS = [("Gentle", 0.6), ("Usual", 1.0), ("Bold", 1.2)]  # relative to the model's own strength
STAGES = ("colours", "shapes", "details", "texture")  # what the levels of a chain work on, coarse first
LATER = ["later"]  # hides; visible=False would also lose, now and then, what is sent together with visible=True
READY = "An example: drag the handle. Then take a photo, press **Translate** and watch it change."
READY_WITHOUT = "Drop a photo, press **Translate** and watch it change."

Updates = dict[Any, Any]  # component -> its new value or properties
ON, OFF = {"interactive": True, "__type__": "update"}, {"interactive": False, "__type__": "update"}


# --- what comes in and what goes wrong -----------------------------------------


class Page(gr.Blocks):
    """The page; a request that has something else than an upload where a photo belongs gets a sentence."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *more: Any, **options: Any) -> Any:
        for component, value in zip(block_fn.inputs, inputs, strict=False):
            files = value if isinstance(component, PhotosInput) and isinstance(value, list) else [value]
            if isinstance(component, UploadedInput) and not all(isinstance(file, dict | None) for file in files):
                raise gr.Error("Please upload the picture: handle_file(path) in Python does so.", print_exception=False)
        return await super().preprocess_data(block_fn, inputs, *more, **options)


def sentence(error: Exception) -> str:
    """What went wrong, for people; the log keeps the trace of what is not theirs to mend."""
    if isinstance(error, ImageError):
        return error.public
    if isinstance(error, (Busy, ValueError)):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "There is no room for pictures here any more. Please tell whoever runs this page."
    if isinstance(error, MemoryError):
        return "There is not enough memory for this picture here."
    traceback.print_exception(error)
    return "Something went wrong here; please check what you sent, or try again."


@contextmanager
def sentences() -> Iterator[None]:
    """Every error as one sentence, which gradio shows or sends."""
    try:
        yield
    except Exception as error:
        raise gr.Error(sentence(error), title="That did not work", duration=12, print_exception=False) from error


def number(strength: Any) -> float | None:
    """What a program may send as a strength. Raises ValueError."""
    if strength is not None and (isinstance(strength, bool) or not isinstance(strength, int | float)):
        raise ValueError("Strength is a number from 0 to 2, or null for the model's own.")
    return strength


def given(path: str | None) -> Path:
    if not path:
        raise ValueError("Choose a photo first.")
    return Path(path)


# --- what is shown -----------------------------------------------------------


def stage_name(trajectory: Trajectory, stage: int) -> str:
    count = len(trajectory.translator.config.schedule.levels)
    return STAGES[round(stage * (len(STAGES) - 1) / max(1, count - 1))]


def ready(shown: DirectionCard) -> str:
    return READY if shown.shown else READY_WITHOUT


def line(ahead: int) -> str:
    return f"⏳ {'One visitor is' if ahead == 1 else f'{ahead} visitors are'} before you. You need not do anything."


def status(progress: ChainProgress) -> str:
    trajectory, done = progress.trajectory, len(progress.trajectory.frames)
    if progress.ahead:
        return line(progress.ahead)
    if not done:
        return "Stopped before the first step." if progress.finished else "…"
    if not progress.finished:
        return f"**Step {done} of {progress.total}** · {stage_name(trajectory, trajectory.frames[-1].level)}"
    if done < progress.total:
        return f"**Stopped at step {done} of {progress.total}.** Drag the slider below to see any step so far."
    return f"**Done: {done} steps.** Drag the slider below to go back to any of them."


def curve(trajectory: Trajectory, step: int) -> str:
    count = len(trajectory.translator.config.schedule.levels)
    drawing = energy_curve(trajectory.frames, step, [stage_name(trajectory, stage) for stage in range(count)])
    target = trajectory.translator.config.target
    return (
        f"<h4>The energy on its way down</h4>{drawing}"
        f"<p>Lower is more like {escape(target)}. Each line is one pass, from coarse to fine.</p>"
    )


# --- the page ----------------------------------------------------------------


def build(models: Sequence[str] = ()) -> tuple[gr.Blocks, dict[str, Any]]:
    """The page for some models, by default all that are shipped, and what its launch() wants to be given."""
    service = TranslationService(models or side_by_side(shipped()), Path(get_upload_folder()) / "results", lend_gpu)
    exhibits = {name: direction_card(service, t, SAMPLES, BORROWED) for name, t in service.translators.items()}
    directions = [(shown.label, name) for name, shown in exhibits.items()]
    examples = [str(path) for shown in exhibits.values() for path in shown.examples]
    opening = next(iter(exhibits.values()))

    with Page(title="cf-translate", delete_cache=(KEPT // 3, KEPT)) as page:
        with gr.Row(elem_id="top"):
            gr.Markdown(
                "# Turn a photo into something else\nChoose what becomes what, drop a photo, and watch it change. "
                "Stop it anywhere, keep the step you like best.",
                elem_id="intro",
            )
            direction = gr.Radio(directions, value=opening.name, label="What becomes what?", show_label=False,
                                 elem_id="direction")  # fmt: skip
        with gr.Tab("One photo"), gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                photo = PhotoInput(
                    type="filepath", image_mode=None, sources=["upload"], label="Your photo",
                    placeholder="Drop a photo here\nor click to choose one", buttons=[], height=200, elem_id="photo",
                )  # fmt: skip
                chosen = gr.Dataset(
                    components=[gr.Image(visible=False)], samples=[[path] for path in examples], type="index",
                    samples_per_page=len(examples) or 1, label="… or take one of ours", elem_id="examples",
                )  # fmt: skip
                strength_factor = gr.Radio(STRENGTH_FACTORS, value=1.0, label="How strongly?", elem_id="vigour")
                with gr.Row(elem_classes="buttons"):
                    go = gr.Button("Translate", variant="primary", size="lg", scale=3, min_width=150, elem_id="go")
                    halt = gr.Button("Stop", variant="stop", size="lg", scale=1, min_width=80, interactive=False,
                                     elem_id="halt")  # fmt: skip
            with gr.Column(scale=7, min_width=300, elem_id="result"):
                says = gr.Markdown(ready(opening), elem_id="says", container=False)
                warns = gr.Markdown(elem_id="warns")
                screen = gr.ImageSlider(
                    opening.shown, label="Before and after", show_label=False, format="jpeg", type="filepath",
                    interactive=False, max_height=400, buttons=["fullscreen"], elem_id="screen",
                )  # fmt: skip
                with gr.Column(elem_classes=LATER) as walked:
                    step = gr.Slider(0, 1, 1, step=1, label="How far?", buttons=[], elem_id="step")
                with gr.Column(elem_classes=LATER) as finished:
                    with gr.Row():
                        keep = gr.Button("Save picture", min_width=140, elem_id="keep-picture")
                        keep_film = gr.Button("Save animation", min_width=140, elem_id="keep-film")
                    with gr.Row():
                        with gr.Column(min_width=260):
                            changed = gr.Image(
                                label="What changed (bright: most)", buttons=[], interactive=False, format="jpeg",
                                elem_id="changed",
                            )  # fmt: skip
                        with gr.Column(min_width=260):
                            energies = gr.HTML(container=True, elem_id="energies")
        with gr.Tab("Several photos"):
            photos = PhotosInput(
                file_count="multiple", type="filepath", label=f"Up to {MAX_PICTURES} photos", elem_id="photos"
            )
            with gr.Row(elem_classes="buttons"):
                go_many = gr.Button(
                    "Translate all", variant="primary", size="lg", scale=3, min_width=150, elem_id="go-many"
                )
                halt_many = gr.Button("Stop", variant="stop", size="lg", scale=1, min_width=80, interactive=False,
                                      elem_id="halt-many")  # fmt: skip
            says_many = gr.Markdown("Choose a direction above and your photos here.", elem_id="says-many")
            gallery = gr.Gallery(
                label="Results", columns=4, object_fit="cover", height="auto", buttons=[], visible=False,
                elem_id="gallery",
            )  # fmt: skip
            archive = gr.DownloadButton("Download all (zip)", visible=False, elem_id="archive")
        parcel = gr.File(visible=False)  # a file on its way to the visitor's disk

        def choose(name: str, path: str | None, request: gr.Request) -> Updates:
            """A direction: shown by its own example unless there is a walk to see; that of another is taken away."""
            updates: Updates = {}
            if path and Path(path).name in [Path(example).name for example in examples]:
                updates[photo] = None
            if not service.has_trajectory(request.session_hash or ""):
                hide = gr.Column(elem_classes=LATER)
                updates |= {screen: exhibits[name].shown, says: ready(exhibits[name]), warns: "", walked: hide}
                updates |= {finished: hide}
            return updates or {warns: gr.skip()}  # gradio takes an empty one for a value

        def take_example(number: int) -> str:
            return examples[number]

        def look(path: str | None) -> Any:
            """The photo that has just come, or none and a word on why: nobody should press a button to hear that."""
            try:
                if path:
                    service.check(Path(path))
            except Exception as error:
                gr.Warning(sentence(error), duration=12)
                return None
            return gr.skip()

        def stream(path: str, name: str, how: float, request: gr.Request) -> Iterator[Updates]:
            yield {go: OFF, halt: ON, says: "…", warns: "", finished: gr.Column(elem_classes=LATER)}
            try:
                for progress in service.stream(request.session_hash or "", given(path), name, how):
                    yield show(progress)
            except Exception as error:  # not raised: gradio would leave the buttons as they are, and badges all over
                yield {says: "That did not work.", warns: sentence(error)}
            yield {go: ON, halt: OFF}

        def show(progress: ChainProgress) -> Updates:
            trajectory, done = progress.trajectory, len(progress.trajectory.frames)
            updates: Updates = {says: status(progress), warns: progress.advice}
            if done:
                last = done if progress.finished else progress.total
                updates |= {
                    screen: (service.picture(trajectory, 0), service.picture(trajectory, done)),
                    walked: gr.Column(elem_classes=[]),
                    step: gr.Slider(maximum=last, value=done, interactive=progress.finished),
                }  # fmt: skip
            if done and progress.finished:
                updates |= {
                    finished: gr.Column(elem_classes=[]), energies: curve(trajectory, done),
                    changed: service.heat_map(trajectory),
                }  # fmt: skip
            return updates

        def scrub(number: int, request: gr.Request) -> Updates:
            with sentences():
                trajectory = service.trajectory(request.session_hash or "")
                pictures = service.picture(trajectory, 0), service.picture(trajectory, int(number))
                return {screen: pictures, energies: curve(trajectory, int(number))}

        def save(number: int, request: gr.Request) -> str:
            with sentences():
                return str(service.save(service.trajectory(request.session_hash or ""), int(number)))

        def save_film(request: gr.Request) -> str:
            with sentences():
                return str(service.save_gif(service.trajectory(request.session_hash or "")))

        def stream_many(paths: list[str] | None, name: str, request: gr.Request) -> Iterator[Updates]:
            hide = gr.Gallery([], visible=False), gr.DownloadButton(visible=False)
            yield {go_many: OFF, halt_many: ON, says_many: "…", gallery: hide[0], archive: hide[1]}
            try:
                sources = [Path(path) for path in paths or []]
                for batch in service.stream_many(request.session_hash or "", sources, name):
                    yield show_many(batch)
            except Exception as error:
                yield {says_many: sentence(error)}
            yield {go_many: ON, halt_many: OFF}

        def show_many(batch: FolderProgress) -> Updates:
            done = f"{len(batch.previews)} of {batch.total} photos are done."
            words = [line(batch.ahead) if batch.ahead else done, *(f"- {sentence}" for sentence in batch.refused)]
            previews = [(str(path), name) for path, name in batch.previews]
            return {
                says_many: "\n\n".join(words), gallery: gr.Gallery(previews, visible=bool(previews)),
                archive: gr.DownloadButton(value=str(batch.archive or "") or None, visible=bool(batch.archive)),
            }  # fmt: skip

        def stop(request: gr.Request) -> None:
            service.stop(request.session_hash or "")

        def leave(request: gr.Request) -> None:
            service.leave(request.session_hash or "")

        # No limit here: the studio lets in one walk at a time, and its line can say who is busy and be left.
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
        aside = {**hidden, "queue": False}
        direction.input(choose, [direction, photo], [photo, says, warns, screen, walked, finished], **aside)
        chosen.click(take_example, chosen, photo, **aside)
        photo.upload(look, photo, photo, **hidden)
        parts = [go, halt, says, warns, screen, walked, step, finished, changed, energies]
        go.click(stream, [photo, direction, strength_factor], parts, js=source_of("scroll.js"), **hidden)
        step.input(scrub, step, [screen, energies], trigger_mode="always_last", **aside)
        for button, function, inputs in ((keep, save, [step]), (keep_film, save_film, [])):
            saved = button.click(function, inputs, parcel, **{**hidden, "show_progress": "minimal"})
            saved.success(None, parcel, None, js=source_of("download.js"), api_visibility="private")
        many = [go_many, halt_many, says_many, gallery, archive]
        go_many.click(stream_many, [photos, direction], many, **hidden)
        for button in (halt, halt_many):
            button.click(stop, None, None, **aside)
        page.unload(leave)
        add_endpoints(service, directions)
    page.queue(max_size=60)
    return page, {
        "theme": THEME, "css": style(list(exhibits.values())), "max_file_size": MAX_FILE, "ssr_mode": False,
        "run_history": False, "footer_links": ["api"], "quiet": True,
        "allowed_paths": [str(path) for path in BORROWED.values()], "state_session_capacity": 200, "max_threads": 16,
    }  # fmt: skip


def add_endpoints(service: TranslationService, directions: Sequence[tuple[str, str]]) -> None:
    """The same for programs (docs/api.md)."""

    def translate(photo: str, direction: str, strength: float | None) -> tuple[str, dict[str, Any]]:
        with sentences():
            trajectory = service.translate(given(photo), direction, number(strength))
            energies = [round(frame.energy, 5) for frame in trajectory.frames]
            picture = service.save(trajectory, len(trajectory.frames))
            accepted = service.accepts(given(photo), direction)
            provenance = trajectory.provenance(len(trajectory.frames))
            return str(picture), {**provenance, "energies": energies, "looks_like_source": accepted}

    def animate(photo: str, direction: str, strength: float | None) -> str:
        with sentences():
            return str(service.save_gif(service.translate(given(photo), direction, number(strength))))

    def judge(photo: str, direction: str) -> dict[str, Any]:
        with sentences():
            advice = service.advice(given(photo), direction)
            return {"looks_like_source": service.accepts(given(photo), direction), "advice": advice}

    def list_directions() -> list[dict[str, Any]]:
        return [
            {"name": name, "source": t.config.source, "target": t.config.target, "strength": t.config.strength}
            for name, t in service.translators.items()
        ]

    with gr.Group(visible=False):
        photo = PhotoInput(type="filepath", image_mode=None, label="photo")
        name = gr.Radio(directions, label="direction")
        strength = gr.Number(None, label="strength: 0 to 2, or none for the model's own")
        picture, trajectory, details = gr.File(label="picture"), gr.File(label="animation"), gr.JSON(label="details")
        button = gr.Button()
    endpoint: dict[str, Any] = {"concurrency_limit": None, "api_visibility": "public"}
    button.click(translate, [photo, name, strength], [picture, details], api_name="translate", **endpoint)
    button.click(animate, [photo, name, strength], trajectory, api_name="animate", **endpoint)
    button.click(judge, [photo, name], details, api_name="judge", **endpoint)
    button.click(list_directions, None, details, api_name="directions", **endpoint)


def serve(port: int | None = None, models: Sequence[str] = (), host: str | None = None) -> None:
    """Show the page until the process is ended. port: by default the first free one from 7860, or what
    GRADIO_SERVER_PORT says. host: an address of this machine, also of IPv6; by default this machine alone, or what
    GRADIO_SERVER_NAME says. Raises OSError for a port that is taken, BadModel, ValueError."""
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    wanted = port or int(os.environ.get("GRADIO_SERVER_PORT") or 0)
    if wanted:
        check_port(wanted, host)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the folder goes in both cases
    share_heaps(2)
    with held_folder("cf-translate-page-", os.environ.get("GRADIO_TEMP_DIR")) as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        page, options = build(models)
        if ":" in host:
            host = f"[{host.strip('[]')}]"
        with without_proxies():
            _, address, _ = page.launch(server_name=host, server_port=port, prevent_thread_lock=True, **options)
        print(f"The page is at {address}", flush=True)
        page.block_thread()  # returns when it is interrupted


if __name__ == "__main__":
    try:
        serve()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
