"""What model files are called."""

from __future__ import annotations

SUFFIX = ".safetensors"
FILE_NAME = "model.safetensors"  # what a run folder and a Hub repository call their model
