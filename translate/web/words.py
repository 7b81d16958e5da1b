"""What the page says: of errors, of the queue, of a chain on its way."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import gradio as gr

from translate.explain import energy_curve
from translate.images.types import ImageError
from translate.web.fifo_queue import Busy
from translate.web.results import Trajectory
from translate.web.service import ChainProgress

STAGES = ("colours", "shapes", "details", "texture")  # what the levels of a chain work on, coarse first


def sentence(error: Exception) -> str:
    """What went wrong, for people; the log keeps the trace of what is not theirs to mend."""
    if isinstance(error, ImageError):
        return error.public
    if isinstance(error, (Busy, ValueError)):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "There is no room for pictures here any more. Please tell whoever runs this page."
    if isinstance(error, MemoryError):
        return "There is not enough memory for this picture here."
    traceback.print_exception(error)
    return "Something went wrong here; please check what you sent, or try again."


@contextmanager
def sentences() -> Iterator[None]:
    """Every error as one sentence, which gradio shows or sends."""
    try:
        yield
    except Exception as error:
        raise gr.Error(sentence(error), title="That did not work", duration=12, print_exception=False) from error


def waiting(ahead: int) -> str:
    return f"⏳ {'One visitor is' if ahead == 1 else f'{ahead} visitors are'} before you. You need not do anything."


def status(progress: ChainProgress) -> str:
    trajectory, done = progress.trajectory, len(progress.trajectory.frames)
    if progress.ahead:
        return waiting(progress.ahead)
    if not done:
        return "Stopped before the first step." if progress.finished else "…"
    if not progress.finished:
        return f"**Step {done} of {progress.total}** · {stage_name(trajectory, trajectory.frames[-1].level)}"
    if done < progress.total:
        return f"**Stopped at step {done} of {progress.total}.** Drag the slider below to see any step so far."
    return f"**Done: {done} step{'s' if done != 1 else ''}.** Drag the slider below to go back to any of them."


def curve(trajectory: Trajectory, step: int) -> str:
    """The energy along the chain as HTML, one step marked."""
    count = len(trajectory.translator.config.schedule.levels)
    drawing = energy_curve(trajectory.frames, step, [stage_name(trajectory, stage) for stage in range(count)])
    target = trajectory.translator.config.target
    return (
        f"<h2>The energy on its way down</h2>{drawing}"
        f"<p>Lower is more like {escape(target)}. Each line is one pass, from coarse to fine.</p>"
    )


def stage_name(trajectory: Trajectory, stage: int) -> str:
    count = len(trajectory.translator.config.schedule.levels)
    return STAGES[round(stage * (len(STAGES) - 1) / max(1, count - 1))]
