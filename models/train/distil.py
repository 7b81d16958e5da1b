"""A student from its model: chains from source pictures, and a fit to where they end, see models/student.py.

Three things teach it. Where the chains ended, pixel by pixel: what all chains agree on. What the trunk sees there: how
things look. And the energy: a step of the chain from the student's own picture (as generators learn from a sampler
that revises what they make: Xie et al., "Cooperative training of descriptor and generator networks", TPAMI 2018), since
a mean of chains is paler than any of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.transforms import v2

from models.energy import pooled
from models.model import Model
from models.preconditioner import precondition
from models.sampling import rms, shared_noise, smoothed_grad
from models.student import Student, level_of
from models.terms.perceptual import PerceptualEnergy
from models.terms.textured import TexturedEnergy
from models.terms.trunk import load_trunk
from models.train.data import ImageArray
from models.train.preview import translated

ITERATIONS = 1500
BATCH = 8  # pictures
LEARNING_RATE, WARM_UP = 2e-3, 100  # iterations until the rate is reached; from there it falls by a cosine
FEATURES, ENERGY = 0.2, 0.6  # weights beside the pixels' 1
FEATURE_TAPS = (2, 4, 10, 15)
EMA = 0.99
MIN_CROP = 0.5  # smallest share of a picture's area that a random crop keeps
FEWEST = 8  # pictures


@dataclass(frozen=True)
class Lessons:
    """Source pictures, and where chains from them ended: uint8 (N, 3, R, R)."""

    sources: Tensor
    ends: Tensor


@dataclass(frozen=True)
class Lesson:
    """How far a student is. what: "chains" or "iterations". error: mean distance of its pixels from the ends, on the
    [-1, 1] scale; NaN while there are only chains."""

    what: str
    done: int
    total: int
    error: float = math.nan


Report = Callable[[Lesson], None]


def distil(
    model: Model,
    pictures: ImageArray,
    *,
    minutes: float = math.inf,
    iterations: int = ITERATIONS,
    seed: int = 0,
    report: Report = lambda lesson: None,
    stop: Callable[[], bool] = lambda: False,
) -> Model:
    """The model with a student, taught by chains from source pictures as large as the model's finest resolution.

    minutes: at most; half of them for the chains. iterations: of the fit, fewer where the minutes end. stop: asked at
    every chain and iteration; once true the fit ends where it is. Raises ValueError for models that have no use for
    a student, and where there are too few pictures or no time for any.
    """
    check_teacher(model)
    begin = time.monotonic()

    def passed() -> float:
        return (time.monotonic() - begin) / 60

    lessons = finished_chains(model, pictures, seed, report, lambda: stop() or passed() > minutes / 2)
    if len(lessons.sources) < FEWEST:
        raise ValueError(f"a student needs {FEWEST} finished chains, and there were {len(lessons.sources)}")
    share = lambda: passed() / minutes  # noqa: E731
    student = fit_student(model, lessons, iterations=iterations, seed=seed, report=report, stop=stop, share=share)
    return replace(model, student=student, config=replace(model.config, student=True), digest="")


def check_teacher(model: Model) -> None:
    """Raises ValueError, with one sentence, for a model whose chains a student cannot take the place of."""
    if model.config.source is None:
        raise ValueError("this model translates nothing that a student could learn")
    if model.transport is not None:
        raise ValueError("a face becomes another one by a transport, which a student cannot learn")
    if not isinstance(model.energy, PerceptualEnergy | TexturedEnergy):
        raise ValueError("only learned votes on the trunk can teach a student: strokes lie elsewhere in each chain")


def finished_chains(model: Model, pictures: ImageArray, seed: int, report: Report, stop: Callable[[], bool]) -> Lessons:
    """Chains of strength 1 from all pictures, one after the other, until there is a stop."""
    model = model.edited(strength=1.0)
    finest, own = model.config.schedule.finest, level_of(model.config)
    sources, ends = [torch.empty(0, 3, own, own, dtype=torch.uint8)], [torch.empty(0, 3, own, own, dtype=torch.uint8)]
    for number, batch in enumerate(pictures.whole(finest, BATCH)):
        if stop():
            break
        end = translated(model, batch, seed=seed + number)
        sources.append(_stored(pooled(batch, finest // own)))
        ends.append(_stored(pooled(end, finest // own)))
        report(Lesson("chains", min(len(pictures), BATCH * (number + 1)), len(pictures)))
    return Lessons(torch.cat(sources), torch.cat(ends))


def fit_student(
    model: Model,
    lessons: Lessons,
    *,
    iterations: int = ITERATIONS,
    seed: int = 0,
    report: Report = lambda lesson: None,
    stop: Callable[[], bool] = lambda: False,
    share: Callable[[], float] = lambda: 0.0,
) -> Student:
    """A student of these lessons. share: how much of the time has passed, 0..1; the fit ends with it."""
    device = model.device
    trunk = load_trunk(device=device)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        student = Student(trunk).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        student.measure(_floats(lessons.sources[:: max(1, len(lessons.sources) // 64)]).to(device))
        average = student.on(device).requires_grad_(False)
        optimizer = torch.optim.AdamW(student.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-3)
        step = ChainStep(model, seed)
        begun = share()
        for iteration in range(iterations):
            gone = max(iteration / iterations, (share() - begun) / (1 - begun) if begun < 1 else 1.0)
            if stop() or gone >= 1:
                break
            rate = min(1.0, (iteration + 1) / WARM_UP) * (1 + math.cos(math.pi * gone)) / 2
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * rate
            source, end = _drawn(lessons)
            source, end = source.to(device), end.to(device)
            made = student(source)
            error = (made - end).abs().mean()
            loss = error + FEATURES * _unlike(trunk, made, end) + ENERGY * (made * step(made.detach())).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            _toward(average, student, min(EMA, (1 + iteration) / (10 + iteration)))
            report(Lesson("iterations", iteration + 1, iterations, error.item()))
    return average.eval()


class ChainStep:
    """The direction of the chain's next step from pictures (B, 3, R, R), of RMS 1 but within [-1, 1]: nowhere stronger
    than the pull of the ends, or a student would run away."""

    def __init__(self, model: Model, seed: int) -> None:
        schedule = model.config.schedule
        self._level = schedule.up_to(level_of(model.config)).levels[-1]
        self._energy = model.energy.at(self._level.resolution)
        self._generator = torch.Generator().manual_seed(seed)
        self._noise = shared_noise(self._generator)

    def __call__(self, x: Tensor) -> Tensor:
        _, gradient = smoothed_grad(self._energy, x.clamp(-1, 1), self._level, self._noise, self._generator)
        down = precondition(gradient, self._level.luma, self._level.chroma)
        return (down / rms(down).clamp_min(1e-12)).clamp(-1, 1)


def _unlike(trunk: torch.nn.Module, made: Tensor, end: Tensor) -> Tensor:
    """How far the trunk's features of two batches are apart, in their own deviations, averaged over taps."""
    with torch.no_grad():
        wanted = trunk(end, FEATURE_TAPS)
    found = trunk(made, FEATURE_TAPS)
    return torch.stack([(f - w).abs().mean() / w.std() for f, w in zip(found, wanted, strict=True)]).mean()


def _drawn(lessons: Lessons) -> tuple[Tensor, Tensor]:
    """Pictures and their ends, cropped and flipped alike: (BATCH, 3, R, R) in [-1, 1]."""
    chosen = torch.randint(len(lessons.sources), (BATCH,))
    both = _floats(torch.cat([lessons.sources[chosen], lessons.ends[chosen]], 1))
    crop = v2.RandomResizedCrop(both.shape[-1], scale=(MIN_CROP, 1.0), ratio=(1.0, 1.0), antialias=True)
    flip = v2.RandomHorizontalFlip()
    both = torch.stack([flip(crop(pair)) for pair in both]).contiguous(memory_format=torch.channels_last)
    source, end = both.split(3, 1)
    return source, end


@torch.no_grad()
def _toward(average: Student, student: Student, decay: float) -> None:
    for mean, new in zip(average.parameters(), student.parameters(), strict=True):
        mean.lerp_(new, 1 - decay)


def _stored(x: Tensor) -> Tensor:
    return ((x.cpu() + 1) * 127.5).round().clamp(0, 255).byte()


def _floats(x: Tensor) -> Tensor:
    return x.float() / 127.5 - 1
