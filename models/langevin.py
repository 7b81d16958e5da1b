"""The chain: an iterator of downhill steps on an energy, first on a coarse picture, then on finer ones.

Pixels live in the box [-1, 1]. The chain moves in it by MIRROR steps (Nemirovski & Yudin, 1983; mirrored Langevin
dynamics: Hsieh et al., NeurIPS 2018): its state is the TONE z = to_tone(x), and a step is

    z <- max(-1, z - step_size * light * grad_x E(x) [+ noise * N(0, I)]),        x = from_tone(z).

The scale of tones is stretched towards white, so that the nearer a pixel is to white, the less it moves: white
backgrounds stay white and highlights stay highlights, where plain steps paint them over. The dark half is left as it
is, since the empty channels of a saturated colour must be free to fill: a mirror on either side pins them, and pure red
apples come out mottled. What dark pixels need is a step in proportion to the light that falls on them, whatever their
colour: see `light`.

Where a ladder bends, a chain from a source moves shapes as well: see `bending`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.energy import EnergyFunction
from models.schedule import Ladder, Stage
from models.shape import SPREAD, smoothed, warped

ALIKE = 0.15  # how far colours may lie apart, on the [-1, 1] scale, to be likely one thing
LOOKED_AT = 64  # focus is found at so many pixels squared, beside a sixteenth as many others


def to_tone(x: Tensor, reach: float) -> Tensor:
    """Pixels in [-1, 1], any shape -> tones: x / sqrt(1 - (x / reach)^2) for the light half, x for the dark one.

    reach > 1 keeps the tone of pure white finite; the nearer it is to 1, the stiffer is white.
    """
    light = x.clamp(min=0) / reach
    return torch.where(x > 0, x / torch.sqrt(1 - light.square()), x)


def from_tone(z: Tensor, reach: float) -> Tensor:
    """The inverse of `to_tone`: tones, any shape -> pixels below `reach`."""
    light = z.clamp(min=0) / reach
    return torch.where(z > 0, z / torch.sqrt(1 + light.square()), z)


def light(source: Tensor, shade: float) -> Tensor:
    """How far a step may go at each pixel of a source (B, 3, H, W) in [-1, 1]: (B, 1, H, W) in 0..1.

    A surface shows its colour times the light on it (Land & McCann, 1971): another colour moves a pixel in shadow less
    than one in the sun. In proportion to the brightest channel, so, up to the brightness `shade`, above 0, then 1.
    """
    return ((source.amax(dim=1, keepdim=True) + 1) / (2 * shade)).clamp(max=1)


def focused(source: Tensor, state: Tensor, focus: float, evidence: Tensor | None = None) -> Tensor:
    """The state with its change from the source kept where that is strong, and dropped where it is faint beside it.

    source, state: (B, 3, H, W) in [-1, 1]; focus: 0..1; evidence: (B, 1, H, W), 0 or more, how much a pixel counts, see
    locator.py; without it all count the same. The energy, a mean over all places, has no say in where an object ends,
    and tints the ground around it. But what is of one colour is of one thing: with m the mean of evidence x the square
    of the change over all pixels like this one (a Gaussian in colour, ALIKE wide: Tomasi & Manduchi, ICCV 1998, without
    a bound in space) and M the 95 % quantile of evidence x the square of the change, the change is scaled by
    m^2 / (m^2 + (focus^2 M)^2). It is all found on small copies, for the scale to be smooth, and quick.
    """
    if not focus:
        return state
    change = state - source
    moved = change.square().mean(dim=1, keepdim=True)
    if evidence is not None:
        moved = moved * evidence
    strong = focus**2 * moved.flatten(1).quantile(0.95, dim=1).view(-1, 1, 1)
    likened, looked_at = (_copy(torch.cat([source, moved], 1), side) for side in (LOOKED_AT // 4, LOOKED_AT))
    asked, known = looked_at[:, :3].flatten(2).mT, likened.flatten(2)  # (B, places, 3) and (B, 4, places)
    colour = known[:, :3]
    # Softmax of -|asked - colour|^2 / (2 ALIKE^2), but for |asked|^2, which it does not see.
    alike = torch.softmax((asked @ colour - colour.square().sum(1, keepdim=True) / 2) / ALIKE**2, dim=2)
    mean = alike @ known[:, 3:].mT
    scale = mean.square() / (mean.square() + strong.square()).clamp(min=1e-12)
    scale = scale.mT.unflatten(2, looked_at.shape[-2:])
    return source + change * F.interpolate(scale, source.shape[-2:], mode="bilinear", align_corners=False)


def _copy(x: Tensor, side: int) -> Tensor:
    """x (B, C, H, W), reduced to some side^2 pixels where it has more."""
    height, width = x.shape[-2:]
    factor = min(1.0, side / math.sqrt(height * width))
    return F.interpolate(x, (max(1, round(factor * height)), max(1, round(factor * width))), mode="area")


@dataclass(frozen=True)
class Step:
    """One step of a chain.

    z: the state after the step, (B, 3, H, W) in tones. energy: E of the state BEFORE it, (B,), which the gradient gives
    for nothing. resolution, index: where the step stands; index counts from 0 on each stage. flow: what then bends the
    source, (B, 2, H, W), see shape.py; None for chains that do not bend.
    """

    z: Tensor
    energy: Tensor
    resolution: int
    index: int
    flow: Tensor | None = None


def chain(
    energy: EnergyFunction,
    z: Tensor,
    steps: int,
    step_size: float,
    *,
    reach: float,
    lit: Tensor | float = 1.0,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """`steps` mirror steps downhill from z (B, 3, H, W). Yields (state after the step, energy (B,) before it).

    lit: the share of a step that each pixel takes, (B, 1, H, W). Pure: `z` is not changed, no graph is kept, the
    energy's parameters get no gradient. Noise is drawn on the CPU from `generator`, so that a seed means the same on
    every device.
    """
    for _ in range(steps):
        energies, gradient = slope(energy, from_tone(z, reach))
        z = _moved(z.detach(), step_size * lit * gradient, noise, generator)
        yield z, energies


def _moved(z: Tensor, down: Tensor, noise: float, generator: torch.Generator | None) -> Tensor:
    """A state after a mirror step."""
    z = z - down
    if noise:
        z = z + noise * torch.randn(z.shape, generator=generator).to(z)
    return z.clamp(min=-1)


def bending(
    energy: EnergyFunction,
    z: Tensor,
    source: Tensor,
    flow: Tensor,
    stage: Stage,
    *,
    bend: float,
    reach: float,
    lit: Tensor | float = 1.0,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """A stage as a `chain` whose state is the bent source plus a change of colours, z = bent(source, flow) + change.

    Each step moves the change as a step of `chain` moves z, and the flow by bend * step_size * the smoothed slope of E
    by the flow. z, source: (B, 3, H, W) in tones; flow: (B, 2, H, W). Yields (z, energy (B,) before the step, flow).
    Pure, as `chain` is.
    """
    pixels = from_tone(source, reach)
    # In half short sides a large picture is steeper, and moves by more pixels; a step is to be the same in pixels.
    scale = (stage.resolution / min(source.shape[-2:])) ** 2
    for _ in range(stage.steps):
        energies, gradient = slope(energy, from_tone(z, reach))
        flow = flow.detach().requires_grad_()
        with torch.enable_grad():
            before = warped(pixels, flow)
            (turn,) = torch.autograd.grad((before * gradient).sum(), flow)
        flow = flow.detach() - bend * stage.step_size * scale * smoothed(turn, SPREAD * stage.resolution)
        turned = to_tone(warped(pixels, flow), reach) - to_tone(before.detach(), reach)
        z = _moved(z.detach() + turned, stage.step_size * lit * gradient, noise, generator)
        yield z, energies, flow


def bent(source: Tensor, flow: Tensor | None, reach: float) -> Tensor:
    """A source (B, 3, H, W) in tones, bent by a flow (B, 2, H, W) or, for None, as it is.

    Pixels are what is mixed on the way: a mixture of tones is nearly white where one of them is.
    """
    return source if flow is None else to_tone(warped(from_tone(source, reach), flow), reach)


def renew(
    energy: EnergyFunction, z: Tensor, stage: Stage, *, reach: float, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """A stage that lays noise on z (B, 3, H, W) and takes it away again: new texture grows in its place.

    The energy has learned that a noisy picture's clean one lies `walk` down its slope (Vincent, 2011). Each step goes
    step_size / walk of the way and lays on what is then missing to the noise that is due, which falls linearly to none:
    annealed Langevin dynamics (Song & Ermon, NeurIPS 2019; started at a picture: Meng et al., ICLR 2022). Yields (the
    CLEAN picture that the slope points to, energy (B,) of the noisy state before the step). Pure, as `chain` is.
    """

    def gaussian() -> Tensor:
        return torch.randn(z.shape, generator=generator).to(z)

    white = float(to_tone(torch.ones(()), reach))
    share = min(1.0, stage.step_size / stage.walk)
    now, state = stage.noise, (z + stage.noise * gaussian()).clamp(-1, white)
    for index in range(stage.steps):
        energies, gradient = slope(energy, from_tone(state, reach))
        yield (state - stage.walk * gradient).clamp(-1, white), energies
        due = stage.noise * (1 - (index + 1) / stage.steps)
        missing = math.sqrt(max(0.0, due**2 - ((1 - share) * now) ** 2))
        state = (state - stage.step_size * gradient + missing * gaussian()).clamp(-1, white)
        now = due


def slope(energy: EnergyFunction, x: Tensor) -> tuple[Tensor, Tensor]:
    """E (B,) and dE/dx (B, 3, H, W) of pictures (B, 3, H, W) in [-1, 1], without graphs."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        energies = energy(x)
        (gradient,) = torch.autograd.grad(energies.sum(), x)
    return energies.detach(), gradient


def climb(
    energy_at: Callable[[int], EnergyFunction],
    ladder: Ladder,
    start: Tensor,
    sources: Sequence[Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    """The coarse-to-fine chain: all stages of the ladder, one after the other.

    energy_at: resolution -> energy. start: where the first stage begins, (B, 3, h, w) in tones. sources: the source
    pictures at every stage's resolution, in tones; the CHANGE that a stage has made to them is carried up and added to
    the next finer ones, and so is the flow that has bent them, where the ladder bends. Stages that lay noise bend no
    further. Without sources (chains from noise) the state itself is carried up.
    """
    z = start
    flow = None if sources is None or not ladder.bend else torch.zeros_like(start[:, :2])
    for number, stage in enumerate(ladder.stages):
        if number and sources is None:
            z = enlarge(z)
        elif number and sources is not None:
            change = z - bent(sources[number - 1], flow, ladder.reach)
            flow = None if flow is None else enlarge(flow)
            z = bent(sources[number], flow, ladder.reach) + enlarge(change)
        energy = energy_at(stage.resolution)
        lit: Tensor | float = 1.0
        if sources is not None and ladder.shade:
            lit = light(from_tone(sources[number], ladder.reach), ladder.shade)
        steps: Iterator[tuple[Tensor, Tensor, Tensor | None]]
        if stage.noise:
            steps = _with(flow, renew(energy, z, stage, reach=ladder.reach, generator=generator))
        elif sources is None or flow is None:
            steps = _with(flow, chain(
                energy, z, stage.steps, stage.step_size,
                reach=ladder.reach, lit=lit, noise=ladder.noise, generator=generator,
            ))  # fmt: skip
        else:
            steps = bending(
                energy, z, sources[number], flow, stage,
                bend=ladder.bend, reach=ladder.reach, lit=lit, noise=ladder.noise, generator=generator,
            )  # fmt: skip
        for index, (z, energies, flow) in enumerate(steps):
            yield Step(z, energies, stage.resolution, index, flow)


def _with(
    flow: Tensor | None, steps: Iterator[tuple[Tensor, Tensor]]
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """The steps of a stage that bends no further."""
    return ((z, energies, flow) for z, energies in steps)


def tone_pyramid(x: Tensor, ladder: Ladder) -> list[Tensor]:
    """Pictures (B, 3, H, W) in [-1, 1] at the finest resolution -> tones at each stage's."""
    return [to_tone(pooled(x, ladder.finest // stage.resolution), ladder.reach) for stage in ladder.stages]


def uniform_start(count: int, ladder: Ladder, generator: torch.Generator | None = None) -> Tensor:
    """Where chains from noise begin: (count, 3, R, R) uniform in [-1, 1], R the coarsest resolution, in tones."""
    noise = 2 * torch.rand(count, 3, ladder.coarsest, ladder.coarsest, generator=generator) - 1
    return to_tone(noise, ladder.reach)


def pooled(x: Tensor, factor: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, H / factor, W / factor) by average pooling."""
    return x if factor == 1 else F.avg_pool2d(x, factor)


def enlarge(z: Tensor) -> Tensor:
    """Twice the height and width, bilinear."""
    return F.interpolate(z, scale_factor=2, mode="bilinear", align_corners=False)
