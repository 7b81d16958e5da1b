"""The view of one translation: each step as it comes, and afterwards any of them again, to be looked at and saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from translate.web.controls import AT_ONCE, HIDDEN, StartStop, Updates, visitor
from translate.web.gallery import DirectionCard
from translate.web.looks import source_of
from translate.web.service import ChainProgress, TranslationService
from translate.web.words import curve, sentence, sentences, status

LATER = ["later"]  # hides; visible=False would also lose, now and then, what is sent together with visible=True


class ResultView:
    def __init__(self, service: TranslationService, tab: str, shown: Any, words: str) -> None:
        """shown: before and after, to begin with, or None. words: to begin with."""
        self.service, self.tab = service, tab
        self.says = gr.Markdown(words, elem_id=f"says-{tab}", container=False)
        self.warns = gr.Markdown(elem_id=f"warns-{tab}")
        self.screen = gr.ImageSlider(
            shown, label="Before and after", show_label=False, format="jpeg", type="filepath", interactive=False,
            max_height=400, buttons=["fullscreen"], elem_id=f"screen-{tab}", elem_classes="screen",
        )  # fmt: skip
        with gr.Column(elem_classes=LATER) as self.walked:
            self.step = gr.Slider(0, 1, 1, step=1, label="How far?", buttons=[], elem_id=f"step-{tab}")
        with gr.Column(elem_classes=LATER) as self.finished:
            with gr.Row():
                keep = gr.Button("Save picture", min_width=140, elem_classes="keep")
                keep_gif = gr.Button("Save animation", min_width=140, elem_classes="keep")
            with gr.Row():
                with gr.Column(min_width=260):
                    self.changed = gr.Image(label="What changed (bright: most)", buttons=[], interactive=False,
                                            format="jpeg", elem_id=f"changed-{tab}")  # fmt: skip
                with gr.Column(min_width=260):
                    self.energies = gr.HTML(container=True, elem_id=f"energies-{tab}", elem_classes="energies")
        self.outputs = [self.says, self.warns, self.screen, self.walked, self.step, self.finished, self.changed,
                        self.energies]  # fmt: skip
        self.step.input(self.scrub, self.step, [self.screen, self.energies], trigger_mode="always_last", **AT_ONCE)
        save_on_click(keep, self.save, self.step)
        save_on_click(keep_gif, self.save_gif, None)

    def follow(self, buttons: StartStop, steps: Iterator[Updates]) -> Iterator[Updates]:
        """The updates of some work, from the press of the button until it can be pressed again."""
        yield {**buttons.running, self.says: "…", self.warns: "", self.finished: gr.Column(elem_classes=LATER)}
        try:
            yield from steps
        except Exception as error:  # not raised: gradio would leave the buttons as they are, and badges all over
            yield {self.says: "That did not work.", self.warns: sentence(error)}
        yield buttons.idle

    def show(self, progress: ChainProgress) -> Updates:
        trajectory, done = progress.trajectory, len(progress.trajectory.frames)
        updates: Updates = {self.says: status(progress), self.warns: progress.advice}
        if done:
            last = done if progress.finished else progress.total
            updates |= {
                self.screen: (self.service.picture(trajectory, 0), self.service.picture(trajectory, done)),
                self.walked: gr.Column(elem_classes=[]),
                self.step: gr.Slider(maximum=last, value=done, interactive=progress.finished),
            }  # fmt: skip
        if done and progress.finished:
            updates |= {
                self.finished: gr.Column(elem_classes=[]), self.energies: curve(trajectory, done),
                self.changed: self.service.heat_map(trajectory),
            }  # fmt: skip
        return updates

    def example(self, card: DirectionCard, words: str, request: gr.Request) -> Updates:
        """A direction's own example, which may have to be made first, unless there is a chain to see."""
        who = visitor(request, self.tab)
        shown = None if self.service.has_trajectory(who) else card.shown
        if self.service.has_trajectory(who):  # perhaps begun meanwhile
            return {self.warns: gr.skip()}  # gradio takes an empty one for a value
        hide = gr.Column(elem_classes=LATER)
        return {self.screen: shown, self.says: words, self.warns: "", self.walked: hide, self.finished: hide}

    def scrub(self, step: int, request: gr.Request) -> Updates:
        with sentences():
            trajectory = self.service.trajectory(visitor(request, self.tab))
            pictures = self.service.picture(trajectory, 0), self.service.picture(trajectory, int(step))
            return {self.screen: pictures, self.energies: curve(trajectory, int(step))}

    def save(self, step: int, request: gr.Request) -> str:
        with sentences():
            return str(self.service.save(self.service.trajectory(visitor(request, self.tab)), int(step)))

    def save_gif(self, request: gr.Request) -> str:
        with sentences():
            return str(self.service.save_gif(self.service.trajectory(visitor(request, self.tab))))


def save_on_click(button: gr.Button, make: Any, inputs: Any) -> None:
    """Let a button save the file that `make` returns to the visitor's disk."""
    parcel = gr.File(visible=False)
    made = button.click(make, inputs, parcel, **{**HIDDEN, "show_progress": "minimal"})
    made.success(None, parcel, None, js=source_of("download.js"), api_visibility="private")
