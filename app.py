"""The web page: python app.py, or cf-translate app. translate/web/ holds its tabs and does the work."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is; threads that spin take shared cores away
os.environ.setdefault("OMP_NUM_THREADS", "1")  # and those of small pictures wait longer than they work
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
from translate.temporary import held_folder
from translate.web.controls import AT_ONCE, visitor
from translate.web.endpoints import Endpoints
from translate.web.folder_tab import FolderTab
from translate.web.gallery import DirectionCard, direction_card, kind, side_by_side
from translate.web.inputs import Page
from translate.web.looks import THEME, source_of, style
from translate.web.photo_tab import PhotoTab
from translate.web.service import KEPT, TranslationService
from translate.web.style_tab import StyleTab

SAMPLES = Path(__file__).parent / "samples"
MAX_FILE = "20mb"
TABS = ("photo", "folder", "style")


def build(models: Sequence[str] = ()) -> tuple[gr.Blocks, dict[str, Any]]:
    """The page for some models, by default all that are shipped, and what its launch() wants to be given."""
    service = TranslationService(models or side_by_side(shipped()), Path(get_upload_folder()) / "results", lend_gpu)
    cards = {name: direction_card(service, t, SAMPLES) for name, t in service.translators.items()}

    def leave(request: gr.Request) -> None:
        for tab in TABS:
            service.leave(visitor(request, tab))

    with Page(title="cf-translate", delete_cache=(KEPT // 3, KEPT)) as page:
        direction = heading(cards)
        photo_tab = PhotoTab(service, cards, direction)
        FolderTab(service, direction, photo_tab.settings)
        StyleTab(service, example_of_a_style(cards))
        gr.Markdown("Photos and results are deleted within the hour. Nothing is recorded.", elem_id="privacy")
        Endpoints(service, labels(cards))
        opened = page.load(photo_tab.open_link, None, [direction, *photo_tab.settings.inputs], **AT_ONCE)
        opened.then(photo_tab.show_example, direction, photo_tab.view.outputs, **AT_ONCE)
        page.unload(leave)
    page.queue(max_size=60)
    return page, {
        "theme": THEME, "css": style(list(cards.values())), "js": source_of("accessible.js"),
        "max_file_size": MAX_FILE, "ssr_mode": False, "run_history": False, "footer_links": ["api"], "quiet": True,
        "state_session_capacity": 200, "max_threads": 16,
    }  # fmt: skip


def heading(cards: Mapping[str, DirectionCard]) -> gr.Radio:
    """What the page is for, and the directions."""
    with gr.Row(elem_id="top"):
        gr.Markdown(
            "# Turn a photo into something else\nChoose what becomes what, drop a photo, and watch it change in small "
            "steps. Stop it on the way, or go back to the step you like best.",
            elem_id="intro",
        )
        return gr.Radio(labels(cards), value=next(iter(cards)), label="What becomes what?", show_label=False,
                        elem_id="direction")  # fmt: skip


def labels(cards: Mapping[str, DirectionCard]) -> list[tuple[str, str]]:
    return [(card.label, name) for name, card in cards.items()]


def example_of_a_style(cards: Mapping[str, DirectionCard]) -> DirectionCard | None:
    """The first direction that starts from any photo and has one to show."""
    sources = {name: kind(card.translator.config.source or "") for name, card in cards.items()}
    return next((card for name, card in cards.items() if card.examples and sources[name] == "photo"), None)


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
