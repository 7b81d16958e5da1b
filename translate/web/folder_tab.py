"""The tab "Several photos": translated one after the other into a gallery and a zip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from translate.web.controls import HIDDEN, Settings, StartStop, Updates, visitor
from translate.web.inputs import PhotosInput
from translate.web.service import MAX_PICTURES, FolderProgress, TranslationService
from translate.web.words import sentence, waiting


class FolderTab:
    """Several photos: translated one after the other into a gallery and a zip."""

    def __init__(self, service: TranslationService, direction: gr.Radio, settings: Settings) -> None:
        self.service = service
        with gr.Tab("Several photos"):
            photos = PhotosInput(
                file_count="multiple", type="filepath", label=f"Up to {MAX_PICTURES} photos", elem_id="photos"
            )
            self.buttons = StartStop(service, "folder", "Translate all")
            self.says = gr.Markdown("Choose a direction above and your photos here. The settings are those of “One "
                                    "photo”.", elem_id="says-folder")  # fmt: skip
            self.gallery = gr.Gallery(label="Results", columns=4, object_fit="cover", height="auto", buttons=[],
                                      visible=False, elem_id="gallery")  # fmt: skip
            self.archive = gr.DownloadButton("Download all (zip)", visible=False, elem_id="archive")
        outputs = [self.buttons.start, self.buttons.halt, self.says, self.gallery, self.archive]
        inputs = [photos, direction, *settings.inputs]
        self.buttons.start.click(self.translate_all, inputs, outputs, api_name="stream_many", **HIDDEN)

    def translate_all(
        self,
        paths: list[str] | None,
        direction: str,
        strength: float,
        size: str,
        seed: float,
        fast: bool,
        request: gr.Request,
    ) -> Iterator[Updates]:
        hide = {self.gallery: gr.Gallery([], visible=False), self.archive: gr.DownloadButton(visible=False)}
        yield {**self.buttons.running, self.says: "…", **hide}
        try:
            sources, options = [Path(path) for path in paths or []], Settings.options(strength, size, seed, fast)
            for batch in self.service.stream_many(visitor(request, "folder"), sources, direction, options):
                yield self.show(batch)
        except Exception as error:
            yield {self.says: sentence(error)}
        yield self.buttons.idle

    def show(self, batch: FolderProgress) -> Updates:
        done = f"{len(batch.previews)} of {batch.total} photos are done."
        words = [waiting(batch.ahead) if batch.ahead else done, *(f"- {sentence}" for sentence in batch.refused)]
        previews = [(str(path), name) for path, name in batch.previews]
        return {
            self.says: "\n\n".join(words), self.gallery: gr.Gallery(previews, visible=bool(previews)),
            self.archive: gr.DownloadButton(value=str(batch.archive or "") or None, visible=bool(batch.archive)),
        }  # fmt: skip
