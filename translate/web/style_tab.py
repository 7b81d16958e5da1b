"""The tab "Your style": fitted to a few paintings, put on a photo, and taken away as a model file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from translate.web.controls import (
    AT_ONCE,
    HIDDEN,
    Settings,
    StartStop,
    Updates,
    given,
    look_at_photo,
    strength_slider,
    visitor,
)
from translate.web.gallery import DirectionCard
from translate.web.inputs import PhotosInput, photo_input
from translate.web.looks import source_of
from translate.web.result_view import ResultView, save_on_click
from translate.web.service import ChainProgress, TranslationService
from translate.web.styles import MAX_PAINTINGS
from translate.web.words import sentence, sentences, waiting

BEFORE = "Drop a painting, or a few by the same hand, and press the button. The style is learned in seconds."


class StyleTab:
    """A style of one's own: fitted to a few paintings, put on a photo, and taken away as a model file."""

    def __init__(self, service: TranslationService, example: DirectionCard | None) -> None:
        """example: a direction whose photo stands in where the visitor has chosen none, and that is shown before."""
        self.service, self.card = service, example
        with gr.Tab("Your style", elem_id="style") as tab, gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                paintings = PhotosInput(file_count="multiple", type="filepath", elem_id="paintings",
                                        label=f"Your painting, or up to {MAX_PAINTINGS} by one hand")  # fmt: skip
                photo = photo_input("Your photo (without one, we take ours)", "style")
                strength = strength_slider(1.0, "style")
                self.buttons = StartStop(service, "style", "Paint my photo")
            with gr.Column(scale=7, min_width=300, elem_classes="result"):
                self.view = ResultView(service, "style", None, BEFORE)
                with gr.Column(visible=False, elem_id="own-model") as self.model:
                    self.usage = gr.Markdown()
                    keep = gr.Button("Save the style (model file)", elem_classes="keep")
        start, view = self.buttons.start, self.view
        outputs = [start, self.buttons.halt, *view.outputs, self.model, self.usage]
        start.click(
            self.translate, [photo, paintings, strength], outputs,
            js=source_of("scroll.js"), api_name="stream_style", **HIDDEN,
        )  # fmt: skip
        tab.select(self.open, None, view.outputs, **AT_ONCE)
        paintings.upload(self.look_at_paintings, paintings, paintings, **HIDDEN)
        look_at_photo(service, photo)
        save_on_click(keep, self.save_style, None)

    def open(self, request: gr.Request) -> Updates:
        if self.card is None:
            return {self.view.warns: gr.skip()}
        return self.view.example(self.card, f"Such as this one: {self.card.label}. {BEFORE}", request)

    def translate(
        self, path: str | None, paintings: list[str] | None, strength: float, request: gr.Request
    ) -> Iterator[Updates]:
        yield from self.view.follow(
            self.buttons, self.steps(path, paintings or [], strength, visitor(request, "style"))
        )

    def steps(self, path: str | None, paintings: list[str], strength: float, who: str) -> Iterator[Updates]:
        source = Path(path) if path else self.card.examples[0] if self.card else given(None)
        sent = [Path(painting) for painting in paintings]
        for progress in self.service.stream_style(who, sent, source, Settings.options(strength)):
            if isinstance(progress, ChainProgress):
                name = progress.trajectory.translator.name
                usage = f"On your own machine: `cf-translate translate photo.jpg -m {name}.safetensors`"
                yield {**self.view.show(progress), self.model: gr.Column(visible=True), self.usage: usage}
            elif progress.stopped:
                yield {self.view.says: "Stopped before the style was learned."}
            else:
                yield {self.view.says: waiting(progress.ahead) if progress.ahead else "Learning the style …"}

    def look_at_paintings(self, paths: list[str] | None) -> Any:
        """Those of which a style can be learned, and a word on why the others cannot be used."""
        good = []
        for path in paths or []:
            try:
                self.service.check_painting(Path(path))
                good.append(path)
            except Exception as error:
                gr.Warning(sentence(error), duration=12)
        if len(good) > MAX_PAINTINGS:
            gr.Warning(f"The first {MAX_PAINTINGS} paintings are taken.", duration=12)
        return gr.skip() if good == paths and len(good) <= MAX_PAINTINGS else good[:MAX_PAINTINGS] or None

    def save_style(self, request: gr.Request) -> str:
        with sentences():
            return str(self.service.save_style(visitor(request, "style")))
