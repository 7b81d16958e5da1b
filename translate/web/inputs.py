"""The page's inputs: uploaded files, and nothing else. Gradio must have been imported before, see app.py."""

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
