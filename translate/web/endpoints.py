"""The page for programs, see docs/api.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from translate.web.controls import given
from translate.web.inputs import PhotoInput
from translate.web.service import TranslationService
from translate.web.words import sentences


class Endpoints:
    def __init__(self, service: TranslationService, directions: Sequence[tuple[str, str]]) -> None:
        self.service = service
        with gr.Group(visible=False):
            photo = PhotoInput(type="filepath", image_mode=None, label="photo")
            name = gr.Radio(directions, label="direction")
            strength = gr.Number(None, label="strength: 0 to 2, or none for the model's own")
            picture, film, details = gr.File(label="picture"), gr.File(label="animation"), gr.JSON(label="details")
            button = gr.Button()
        public: dict[str, Any] = {"concurrency_limit": None, "api_visibility": "public"}
        button.click(self.translate, [photo, name, strength], [picture, details], api_name="translate", **public)
        button.click(self.animate, [photo, name, strength], film, api_name="animate", **public)
        button.click(self.judge, [photo, name], details, api_name="judge", **public)
        button.click(self.directions, None, details, api_name="directions", **public)

    def translate(self, photo: str, direction: str, strength: float | None) -> tuple[str, dict[str, Any]]:
        with sentences():
            trajectory = self.service.translate(given(photo), direction, number(strength))
            energies = [round(frame.energy, 5) for frame in trajectory.frames]
            picture = self.service.save(trajectory, len(trajectory.frames))
            accepted = self.service.accepts(given(photo), direction)
            provenance = trajectory.provenance(len(trajectory.frames))
            return str(picture), {**provenance, "energies": energies, "looks_like_source": accepted}

    def animate(self, photo: str, direction: str, strength: float | None) -> str:
        with sentences():
            return str(self.service.save_gif(self.service.translate(given(photo), direction, number(strength))))

    def judge(self, photo: str, direction: str) -> dict[str, Any]:
        with sentences():
            advice = self.service.advice(given(photo), direction)
            return {"looks_like_source": self.service.accepts(given(photo), direction), "advice": advice}

    def directions(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "source": t.config.source, "target": t.config.target, "strength": t.config.strength}
            for name, t in self.service.translators.items()
        ]


def number(strength: Any) -> float | None:
    """What a program may send as a strength. Raises ValueError."""
    if strength is not None and (isinstance(strength, bool) or not isinstance(strength, int | float)):
        raise ValueError("Strength is a number from 0 to 2, or null for the model's own.")
    return strength
