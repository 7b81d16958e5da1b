"""The page and its inputs: uploaded files, and nothing else. Gradio must have been imported before, see app.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import gradio.component_meta
from gradio.utils import get_upload_folder

gradio.component_meta.create_or_modify_pyi = lambda *_: None  # it would write a stub beside this file


class UploadedInput:
    """An input of uploaded files, and nothing else. A request may name anything: gradio fetches addresses, and takes a
    path on this machine from whoever leaves out the mark by which it knows files."""

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> Any:
        if str(url_or_file_path).startswith(("http://", "https://")):
            raise gr.Error("Please send the picture itself, not its address.", print_exception=False)
        return await super().async_move_resource_to_block_cache(url_or_file_path)  # type: ignore[misc]

    def uploaded(self, file: Any) -> str:
        path = str(getattr(file, "path", None) or "")
        if not Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
            raise gr.Error("Please upload the picture first.", print_exception=False)
        return path


class PhotoInput(UploadedInput, gr.Image):
    """A picture that nobody opens before translate/images/read.py does: gr.Image would, and has no limits."""

    def preprocess(self, payload: Any) -> Any:
        return None if payload is None else self.uploaded(payload)

    def get_block_name(self) -> str:
        return "image"


class PhotosInput(UploadedInput, gr.File):
    def preprocess(self, payload: Any) -> Any:
        return [self.uploaded(file) for file in payload or ()]

    def get_block_name(self) -> str:
        return "file"


class Page(gr.Blocks):
    """The page; a request that has something else than an upload where a photo belongs gets a sentence."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *more: Any, **options: Any) -> Any:
        for component, value in zip(block_fn.inputs, inputs, strict=False):
            files = value if isinstance(component, PhotosInput) and isinstance(value, list) else [value]
            if isinstance(component, UploadedInput) and not all(isinstance(file, dict | None) for file in files):
                raise gr.Error("Please upload the picture: handle_file(path) in Python does so.", print_exception=False)
        return await super().preprocess_data(block_fn, inputs, *more, **options)


def photo_input(label: str, tab: str) -> PhotoInput:
    return PhotoInput(
        type="filepath", image_mode=None, sources=["upload"], label=label, buttons=[], height=200,
        placeholder="Drop a photo here\nor click to choose one", elem_id=f"photo-{tab}", elem_classes="photo",
    )  # fmt: skip
