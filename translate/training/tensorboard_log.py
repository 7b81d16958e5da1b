"""TensorBoard, where it is installed: the log's figures and the sample sheets of a training, as it goes on."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from models.train.run_dir import LOG_EVERY, Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FIGURES = ("target_energy", "chain_energy", "penalty", "change", "beta", "resolution", "kid", "rate")


class TensorBoardLog:
    """Writes into `tensorboard/` of a run folder; `cf-translate train` shows nothing of it without TensorBoard."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    @classmethod
    def open(cls, run: Path, iteration: int) -> TensorBoardLog | None:
        """A board that goes on at `iteration` (what was written from there on is dropped); None without TensorBoard."""
        if find_spec("tensorboard") is None:
            return None
        from torch.utils.tensorboard import SummaryWriter

        return cls(SummaryWriter(str(run / "tensorboard"), purge_step=iteration))

    def add(self, progress: Progress) -> None:
        """One iteration: its figures where the log has them too, its sheet if there is one, its event if any."""
        step = progress.iteration
        if step % LOG_EVERY == 0 or progress.sheet is not None:
            for name in FIGURES:
                value = getattr(progress, name)
                if value is not None and math.isfinite(value):
                    self._writer.add_scalar(name, value, step)
        if progress.event:
            self._writer.add_text("event", progress.event, step)
        if progress.sheet is not None:
            import numpy as np
            from PIL import Image

            with Image.open(progress.sheet) as sheet:
                self._writer.add_image("samples", np.asarray(sheet), step, dataformats="HWC")
            self._writer.flush()

    def close(self) -> None:
        self._writer.close()
