"""Weights of directions that do not ship."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from models import registry
from models.model import Model

COMING = {"cat2dog": ("cats", "dogs"), "dog2cat": ("wolves", "cats"), "photo2vangogh": ("photos", "Van Gogh")}


def more_weights(folder: Path) -> Path:
    """A folder like models/weights: the shipped ones, and one of them under the names of others."""
    for path in registry.SHIPPED.glob("*.safetensors"):
        shutil.copy(path, folder)
    model = Model.load(registry.SHIPPED / "apple2orange.safetensors")
    for name, (source, target) in COMING.items():
        config = replace(model.config, source=source, target=target)
        replace(model, config=config, probe=None).save(folder / f"{name}.safetensors")
    return folder
