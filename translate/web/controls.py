"""Controls that tabs of the page share: buttons that start and stop, settings of the chain and a link to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from pydantic import BaseModel, Field, ValidationError

from models.schedule import MAX_STRENGTH
from translate.options import SamplingOptions
from translate.web.inputs import PhotoInput
from translate.web.looks import source_of
from translate.web.service import TranslationService
from translate.web.words import sentence

Updates = dict[Any, Any]  # component -> its new value or properties
# No limit here: the service lets in one chain at a time, and its line can say who is busy and be left.
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
AT_ONCE: dict[str, Any] = {**HIDDEN, "queue": False}  # for what takes no time
ON, OFF = gr.update(interactive=True), gr.update(interactive=False)


def visitor(request: gr.Request, tab: str) -> str:
    """For whom the service works: the tabs of one visitor do not take each other's results away."""
    return f"{request.session_hash}/{tab}"


def given(path: str | None) -> Path:
    if not path:
        raise ValueError("Choose a photo first.")
    return Path(path)


def look_at_photo(service: TranslationService, photo: PhotoInput) -> None:
    """Refuse a photo as soon as it has come, with a word on why: nobody should press a button to hear that."""

    def look(path: str | None) -> Any:
        try:
            if path:
                service.check(Path(path))
        except Exception as error:
            gr.Warning(sentence(error), duration=12)
            return None
        return gr.skip()

    photo.upload(look, photo, photo, **HIDDEN)


class StartStop:
    """A button that starts and one that stops, of which the latter is there only while something is at work."""

    def __init__(self, service: TranslationService, tab: str, words: str) -> None:
        self.service, self.tab = service, tab
        with gr.Row(elem_classes="buttons"):
            self.start = gr.Button(words, variant="primary", size="lg", scale=3, min_width=150, elem_id=f"go-{tab}")
            self.halt = gr.Button("Stop", variant="stop", size="lg", scale=1, min_width=80, interactive=False,
                                  elem_id=f"halt-{tab}", elem_classes="halt")  # fmt: skip
        self.running: Updates = {self.start: OFF, self.halt: ON}
        self.idle: Updates = {self.start: ON, self.halt: OFF}
        self.halt.click(self.stop, None, None, **AT_ONCE)

    def stop(self, request: gr.Request) -> None:
        self.service.stop(visitor(request, self.tab))


def strength_slider(value: float, tab: str) -> gr.Slider:
    return gr.Slider(
        0, MAX_STRENGTH, value, step=0.1, label="How strongly?", buttons=["reset"], elem_id=f"strength-{tab}",
        info="0 leaves the photo as it is, 1 is usual, 2 goes twice as far",
    )  # fmt: skip


class SharedSettings(BaseModel):
    """What a link to the page may say in its query, as text."""

    direction: str | None = None
    strength: float | None = Field(None, ge=0, le=MAX_STRENGTH)
    size: Literal["", "64", "128", "192", "256"] | None = None
    seed: int | None = Field(None, ge=0, lt=2**31)
    fast: bool | None = None


SIZES = {"The model's own": "", **{f"{size} px": size for size in ("64", "128", "192", "256")}}


class Settings:
    """Strength, size and seed of a chain, what takes its place, and a button that makes a link to them all."""

    def __init__(self, direction: gr.Radio, strength: float, *, fast: bool) -> None:
        """fast: whether the direction that the page opens with has a student."""
        self.strength = strength_slider(strength, "photo")
        with gr.Accordion("More settings", open=False, elem_id="more"):
            self.size = gr.Dropdown(list(SIZES.items()), value="", label="Working size", filterable=False,
                                    info="Short side of the copy that is worked on", elem_id="size")  # fmt: skip
            self.seed = gr.Number(0, label="Seed", info="Another number, other noise", precision=0, minimum=0,
                                  maximum=2**31 - 1, elem_id="seed")  # fmt: skip
            self.fast = gr.Checkbox(False, label="Fast", interactive=fast, elem_id="fast",
                                    info="One pass and no steps, where the direction has learned that")  # fmt: skip
            link = gr.Button("Copy a link to these settings", size="sm", elem_id="share")
            copied = gr.Markdown(elem_id="shared")
        self.inputs = [self.strength, self.size, self.seed, self.fast]
        link.click(None, [direction, *self.inputs], copied, js=source_of("share_link.js"), api_visibility="private")

    @staticmethod
    def options(strength: float, size: str = "", seed: float = 0, fast: bool = False) -> SamplingOptions:
        """Raises ValueError for what the controls cannot have sent."""
        try:
            chosen = int(size) if size else None
            return SamplingOptions(float(strength), size=chosen, seed=int(seed or 0), fast=bool(fast))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError("Strength, size and seed are numbers.") from error

    def opened(self, query: Mapping[str, str], direction: gr.Radio, names: list[str]) -> Updates:
        """The controls as a link wants them; what it cannot ask for is left as it is, and said."""
        components = {"direction": direction, "strength": self.strength, "size": self.size, "seed": self.seed,
                      "fast": self.fast}  # fmt: skip
        wanted = {name: query[name] for name in components if name in query}
        refused = {"direction"} if wanted.get("direction", names[0]) not in names else set()
        try:
            SharedSettings.model_validate(wanted)
        except ValidationError as error:
            refused |= {str(fault["loc"][0]) for fault in error.errors()}
        if refused:
            gr.Warning(f"This page has no such {' or '.join(sorted(refused))} as the link asks for.", duration=12)
        kept = SharedSettings.model_validate({name: value for name, value in wanted.items() if name not in refused})
        return {components[name]: value for name, value in kept.model_dump(exclude_none=True).items()}
