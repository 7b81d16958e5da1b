"""The tab "One photo": chosen, translated before one's eyes, gone back through, saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import gradio as gr

from translate.web.controls import AT_ONCE, HIDDEN, Settings, StartStop, Updates, given, look_at_photo, visitor
from translate.web.gallery import DirectionCard
from translate.web.inputs import photo_input
from translate.web.looks import source_of
from translate.web.result_view import ResultView
from translate.web.service import TranslationService

EXAMPLE = "An example: drag the handle. Then choose a photo, press **Translate** and watch it change step by step."
NO_EXAMPLE = "Drop a photo, press **Translate** and watch it change."


class PhotoTab:
    """One photo: chosen, translated before one's eyes, gone back through, saved."""

    def __init__(self, service: TranslationService, cards: Mapping[str, DirectionCard], direction: gr.Radio) -> None:
        self.service, self.cards, self.direction = service, cards, direction
        self.examples = [str(path) for card in cards.values() for path in card.examples]
        opening = next(iter(cards.values()))
        with gr.Tab("One photo"), gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self.photo = photo_input("Your photo", "photo")
                chosen = gr.Dataset(
                    components=[gr.Image(visible=False)], samples=[[path] for path in self.examples], type="index",
                    samples_per_page=len(self.examples) or 1, label="… or take one of ours", elem_id="examples",
                )  # fmt: skip
                config = opening.translator.config
                self.settings = Settings(direction, config.strength, fast=config.student)
                self.buttons = StartStop(service, "photo", "Translate")
            with gr.Column(scale=7, min_width=300, elem_classes="result"):
                self.view = ResultView(service, "photo", opening.shown, EXAMPLE if opening.shown else NO_EXAMPLE)
        start, view = self.buttons.start, self.view
        start.click(
            self.translate, [self.photo, direction, *self.settings.inputs],
            [start, self.buttons.halt, *view.outputs], js=source_of("scroll.js"), api_name="stream", **HIDDEN,
        )  # fmt: skip
        changed = [self.photo, self.settings.strength, self.settings.fast]
        other = direction.input(self.choose, [direction, self.photo], changed, **AT_ONCE)
        other.then(self.show_example, direction, view.outputs, **AT_ONCE)
        chosen.click(self.take_example, chosen, self.photo, **AT_ONCE)
        look_at_photo(service, self.photo)

    def translate(
        self, path: str, direction: str, strength: float, size: str, seed: float, fast: bool, request: gr.Request
    ) -> Iterator[Updates]:
        def steps() -> Iterator[Updates]:
            options = self.settings.options(strength, size, seed, fast)
            for progress in self.service.stream(visitor(request, "photo"), given(path), direction, options):
                yield self.view.show(progress)

        yield from self.view.follow(self.buttons, steps())

    def choose(self, direction: str, path: str | None) -> Updates:
        """A direction, at its own strength, fast only where it can be; an example of another one is taken away."""
        config = self.cards[direction].translator.config
        fast = gr.update(interactive=True) if config.student else gr.update(value=False, interactive=False)
        updates: Updates = {self.settings.strength: config.strength, self.settings.fast: fast}
        if path and Path(path).name in [Path(example).name for example in self.examples]:
            updates[self.photo] = None
        return updates

    def show_example(self, direction: str, request: gr.Request) -> Updates:
        card = self.cards[direction]
        return self.view.example(card, EXAMPLE if card.examples else NO_EXAMPLE, request)

    def open_link(self, request: gr.Request) -> Updates:
        """The settings that the page's address asks for."""
        updates = self.settings.opened(request.query_params, self.direction, list(self.cards))
        return updates or {self.direction: gr.skip()}

    def take_example(self, number: int) -> str:
        return self.examples[number]
