"""Renders faces of cats and dogs, made of numbers alone, as sources for the contact sheets and the page.

python samples/faces.py [NAME...]    (all of them without a name) writes samples/NAME.jpg

A head is a smooth union of ellipsoids, seen from the front without perspective. It is marched to once for its shape and
shading; then some ten thousand hairs are drawn over it, far ones first, each of them combed away from the nose; and
last the eyes, the nose and the whiskers. No face is drawn by hand: breed, coat and pose come from a number each.
x is to the right, y up, z towards the viewer; a head's radius is about 1; colours are linear until the end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from samples.render import Array, Triple, clouds, dot, mix, normals, relief, rotation, smooth, unit, vector  # noqa: E402

Coat = Callable[[Array], Array]  # of points on the head, its colours
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels

FINE = 2  # pixels are made from FINE x FINE smaller ones
SIDE = 512  # of a sample picture, px
WIDE, HIGH = 1.3, 0.08  # half of what a picture shows, and where its middle is
LAMP = unit(vector((-0.45, 0.75, 0.75)))


@dataclass(frozen=True)
class Lobe:
    """An ellipsoid; blend: how softly it grows out of those before it; taper: 0..1, how pointed it is upwards."""

    centre: Triple
    radii: Triple
    tilt: Triple = (0.0, 0.0, 0.0)
    blend: float = 0.16
    taper: float = 0.0


@dataclass(frozen=True)
class Face:
    """A head from the front. eye, nose: where they sit on its surface, the eye on the right of the picture."""

    lobes: tuple[Lobe, ...]
    coat: Coat
    eye: Triple
    eye_size: float
    iris: Triple
    slit: bool
    nose: Triple
    nose_size: float
    nose_colour: Triple
    hair: float  # length of a hair on the cheeks
    turn: Array = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    backdrop: tuple[Triple, Triple] = ((0.2, 0.2, 0.2), (0.5, 0.5, 0.5))
    whiskers: bool = False
    seed: int = 0


def both(lobe: Lobe) -> tuple[Lobe, Lobe]:
    """A lobe and its mirror image on the other side of the face."""
    (x, y, z), (a, b, c) = lobe.centre, lobe.tilt
    return lobe, replace(lobe, centre=(-x, y, z), tilt=(a, -b, -c))


# ---- breeds ----


def cat(seed: int) -> Face:
    rng = np.random.default_rng(1000 + seed)
    wide, ear = rng.uniform(0.95, 1.08), rng.uniform(0.9, 1.1)
    coat, nose = _cat_coat(rng, seed)
    return Face(
        lobes=(
            Lobe((0, -1.55, -0.75), (1.15, 0.95, 0.6), blend=0.1),
            Lobe((0, 0.08, 0), (0.92 * wide, 0.82, 0.8)),
            *both(Lobe((0.42 * wide, -0.30, 0.25), (0.5, 0.42, 0.45))),
            Lobe((0, -0.02, 0.62), (0.2, 0.42, 0.22)),
            *both(Lobe((0.16, -0.40, 0.70), (0.21, 0.18, 0.2), blend=0.1)),
            Lobe((0, -0.60, 0.56), (0.17, 0.13, 0.18), blend=0.1),
            *both(Lobe((0.57 * wide, 0.82, -0.12), (0.31, 0.52 * ear, 0.14), (0, 0, -20), 0.08, 0.65)),
        ),
        coat=coat,
        eye=(0.37 * wide, 0.07, 0.70),
        eye_size=float(rng.uniform(0.17, 0.21)),
        iris=_one(rng, ((0.45, 0.55, 0.10), (0.65, 0.42, 0.05), (0.20, 0.45, 0.18), (0.20, 0.45, 0.75))),
        slit=True,
        nose=(0, -0.24, 0.88),
        nose_size=0.115,
        nose_colour=nose,
        hair=float(rng.uniform(0.12, 0.24)),
        turn=_pose(rng),
        backdrop=_place(rng),
        whiskers=True,
        seed=seed,
    )


def dog(seed: int) -> Face:
    rng = np.random.default_rng(2000 + seed)
    long, wide = rng.uniform(0.8, 1.15), rng.uniform(0.9, 1.05)
    ears = (
        Lobe((0.86 * wide, -0.02, -0.05), (0.27, 0.66, 0.16), (0, 0, 10), blend=0.1),
        Lobe((0.56 * wide, 0.84, -0.12), (0.28, 0.52, 0.13), (0, 0, -14), 0.08, 0.55),
        Lobe((0.78 * wide, 0.42, 0.05), (0.26, 0.34, 0.14), (0, 0, 38), blend=0.08),
    )[int(rng.choice(3, p=(0.5, 0.25, 0.25)))]
    return Face(
        lobes=(
            Lobe((0, -1.5, -0.8), (1.0, 1.0, 0.6), blend=0.1),
            Lobe((0, 0.14, 0), (0.82 * wide, 0.84, 0.8)),
            *both(Lobe((0.36 * wide, -0.28, 0.2), (0.42, 0.42, 0.4))),
            Lobe((0, -0.12, 0.6), (0.27, 0.5, 0.3)),
            Lobe((0, -0.42, 0.62 + 0.2 * long), (0.35, 0.29, 0.5 * long), blend=0.2),
            *both(Lobe((0.17, -0.52, 0.85 + 0.3 * long), (0.22, 0.2, 0.24), blend=0.14)),
            Lobe((0, -0.76, 0.7 + 0.2 * long), (0.2, 0.12, 0.3), blend=0.1),
            *both(ears),
        ),
        coat=_dog_coat(rng, seed),
        eye=(0.34 * wide, 0.12, 0.72),
        eye_size=float(rng.uniform(0.135, 0.165)),
        iris=_one(rng, ((0.10, 0.04, 0.015), (0.16, 0.07, 0.02), (0.06, 0.03, 0.02))),
        slit=False,
        nose=(0, -0.33, 1.1 + 0.35 * long),
        nose_size=0.2,
        nose_colour=(0.018, 0.016, 0.017),
        hair=float(rng.uniform(0.08, 0.26)),
        turn=_pose(rng),
        backdrop=_place(rng),
        seed=seed,
    )


def _pose(rng: np.random.Generator) -> Array:
    return rotation(float(rng.uniform(-6, 10)), float(rng.uniform(-14, 14)), float(rng.uniform(-7, 7)))


def _place(rng: np.random.Generator) -> tuple[Triple, Triple]:
    return (
        ((0.03, 0.07, 0.02), (0.22, 0.34, 0.10)),
        ((0.10, 0.07, 0.05), (0.40, 0.30, 0.22)),
        ((0.25, 0.26, 0.28), (0.55, 0.56, 0.60)),
        ((0.02, 0.02, 0.025), (0.10, 0.10, 0.12)),
        ((0.70, 0.68, 0.65), (0.95, 0.93, 0.90)),
    )[int(rng.integers(5))]


def _one(rng: np.random.Generator, choices: tuple[Triple, ...]) -> Triple:
    return choices[int(rng.integers(len(choices)))]


# ---- coats ----


def _cat_coat(rng: np.random.Generator, seed: int) -> tuple[Coat, Triple]:
    """A coat, and the colour of the nose that goes with it."""
    pink, dark = (0.60, 0.26, 0.22), (0.10, 0.05, 0.05)
    kind = int(rng.integers(7))
    if kind < 3:
        ground, stripe = (
            ((0.30, 0.22, 0.13), (0.05, 0.035, 0.025)),
            ((0.62, 0.30, 0.10), (0.34, 0.12, 0.03)),
            ((0.34, 0.33, 0.32), (0.07, 0.07, 0.075)),
        )[kind]
        return bibbed(tabby(ground, stripe, seed), seed, float(rng.uniform(0, 1))), pink
    if kind == 3:
        return bibbed(even((0.028, 0.026, 0.028), seed), seed, float(rng.choice((0.0, 1.0)))), dark
    if kind == 4:
        return even((0.80, 0.77, 0.72), seed), pink
    if kind == 5:
        return even((0.20, 0.21, 0.24), seed), dark
    return pointed((0.68, 0.58, 0.44), (0.07, 0.045, 0.035)), dark


def _dog_coat(rng: np.random.Generator, seed: int) -> Coat:
    kind = int(rng.integers(6))
    if kind == 0:
        return even((0.60, 0.38, 0.16), seed)
    if kind == 1:
        return bibbed(even((0.16, 0.07, 0.03), seed), seed, float(rng.choice((0.0, 0.6))))
    if kind == 2:
        return masked((0.025, 0.022, 0.02), (0.42, 0.20, 0.06))
    if kind == 3:
        return bibbed(even((0.30, 0.14, 0.05), seed), seed, 1.6)
    if kind == 4:
        return even((0.76, 0.70, 0.60), seed)
    return masked((0.16, 0.16, 0.17), (0.78, 0.76, 0.73))


def even(colour: Triple, seed: int) -> Coat:
    """One colour, a little lighter here than there."""

    def coat(p: Array) -> Array:
        return np.asarray(vector(colour) * (0.75 + 0.5 * clouds(p * 2 + seed, 3))[:, None])

    return coat


def tabby(ground: Triple, stripe: Triple, seed: int) -> Coat:
    """Lines up the forehead and back along the cheeks, pale around eyes and mouth."""

    def coat(p: Array) -> Array:
        x, y = np.abs(p[:, 0]), p[:, 1]
        wobble = 0.5 * (clouds(p * 2.5 + seed, 3) - 0.5)
        forehead = np.sin(26 * (x / (1.1 + 0.5 * y) + 0.35 * wobble)) * smooth(0.15, 0.4, y)
        cheeks = np.sin(15 * (y + 0.5 * x + 0.8 * wobble)) * smooth(0.42, 0.65, x) * smooth(0.35, 0.1, y)
        lines = smooth(0.05, 0.6, np.maximum(forehead, cheeks))
        colour = mix(vector(ground) * (0.8 + 0.4 * clouds(p * 4 + seed, 2))[:, None], vector(stripe), lines * 0.85)
        around_eyes = np.exp(-(((x - 0.37) / 0.3) ** 2) - ((y - 0.05) / 0.26) ** 2) * 0.45
        return mix(colour, vector((0.62, 0.52, 0.40)), around_eyes)

    return coat


def bibbed(over: Coat, seed: int, amount: float) -> Coat:
    """A coat with white muzzle, blaze and chest; amount: 0 for none of it, 1 for much."""

    def coat(p: Array) -> Array:
        x, y = np.abs(p[:, 0]), p[:, 1] + 0.15 * (clouds(p * 3 + seed, 2) - 0.5)
        muzzle = smooth(0.55 * amount + 0.02, 0.35 * amount, x) * smooth(-0.05, -0.3, y)
        blaze = smooth(0.2 * amount + 0.02, 0.08 * amount, x + 0.2 * (y - 0.2)) * smooth(1.0, 0.5, y)
        chest = smooth(-0.75, -0.95, y) * min(1.0, 2 * amount)
        white = np.maximum(np.maximum(muzzle, blaze), chest) * min(1.0, 3 * amount)
        return mix(over(p), vector((0.80, 0.77, 0.73)), white)

    return coat


def pointed(body: Triple, points: Triple) -> Coat:
    """Dark where it is far from the heart: face and ears."""

    def coat(p: Array) -> Array:
        face = np.exp(-((p[:, 0] / 0.5) ** 2) - ((p[:, 1] + 0.15) / 0.5) ** 2)
        ears = smooth(0.55, 0.95, p[:, 1])
        return mix(np.broadcast_to(vector(body), p.shape), vector(points), np.clip(1.1 * face + ears, 0, 1))

    return coat


def masked(dark: Triple, light: Triple) -> Coat:
    """A dark head with light cheeks, muzzle and spots over the eyes."""

    def coat(p: Array) -> Array:
        x, y = np.abs(p[:, 0]), p[:, 1]
        spots = np.exp(-(((x - 0.27) / 0.11) ** 2) - ((y - 0.38) / 0.09) ** 2)
        cheeks = smooth(0.0, -0.25, y + 0.25 * smooth(0.3, 0.0, x)) * smooth(0.85, 0.55, x)
        top = smooth(0.1, 0.02, x) * smooth(0.0, -0.2, y)
        return mix(np.broadcast_to(vector(dark), p.shape), vector(light), np.clip(spots + cheeks - 0.7 * top, 0, 1))

    return coat


# ---- drawing ----


def shape(face: Face) -> Callable[[Array], Array]:
    """About how far points (N, 3) are from a head."""
    turns = [rotation(*lobe.tilt) for lobe in face.lobes]

    def distance(p: Array) -> Array:
        whole = np.full(len(p), np.inf, np.float32)
        for lobe, turn in zip(face.lobes, turns, strict=True):
            q = ((p - vector(lobe.centre)) @ turn) / vector(lobe.radii)
            if lobe.taper:
                q = q / (1 - lobe.taper * np.clip(q[:, 1:2], -1, 1) * vector((1, 0, 1)))
            near = np.sqrt(dot(q, q)) + 1e-6
            slope = np.sqrt(dot(q / vector(lobe.radii), q / vector(lobe.radii))) + 1e-6
            one = near * (near - 1) / slope
            h = np.clip(0.5 + 0.5 * (whole - one) / lobe.blend, 0, 1) if np.isfinite(whole[0]) else np.ones_like(one)
            whole = one if not np.isfinite(whole[0]) else whole + (one - whole) * h - lobe.blend * h * (1 - h)
        return whole

    return distance


def draw(face: Face, side: int = 256) -> Image.Image:
    """The face as a square picture of `side` px; always the same."""
    fine = side * FINE
    rng = np.random.default_rng(face.seed)
    axis = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32) * WIDE
    x, y = np.meshgrid(axis, HIGH - axis)
    screen = np.stack([x.ravel(), y.ravel()], 1)
    distance = shape(face)

    # March along z, all pixels at once.
    p = np.concatenate([screen, np.full((len(screen), 1), 2.2, np.float32)], 1)
    hit = np.zeros(len(p), bool)
    live = np.arange(len(p))
    for _ in range(60):
        gap = distance(p[live] @ face.turn)
        hit[live[gap < 0.004]] = True
        p[live, 2] -= np.maximum(gap * 0.8, 0.002)
        live = live[(gap >= 0.004) & (p[live, 2] > -1.6)]
    tone = clouds(np.concatenate([screen * 0.9, screen[:, :1] * 0], 1) + 5.7 * face.seed, 2)
    linear = mix(np.broadcast_to(vector(face.backdrop[0]), p.shape), vector(face.backdrop[1]), smooth(0.2, 0.8, tone))
    linear = np.array(linear, np.float32)
    where = np.flatnonzero(hit)
    local = p[where] @ face.turn
    normal = normals(distance, local, step=0.01)
    shaded = _light(distance, local, normal, face.turn)
    linear[where] = _coloured(face, local, normal) * shaded[:, None] * 0.8
    picture = Image.fromarray(_bytes(linear).reshape(side, side, 3)).resize((fine, fine), Image.Resampling.BICUBIC)

    # Hairs, far ones first.
    count = round(1.3 * len(where))
    roots = rng.integers(len(where), size=count)
    q, n, lit = local[roots], normal[roots], shaded[roots]
    comb = q - vector(face.nose) + vector((0, 0, 0.25))
    comb = comb + np.where(q[:, 1:2] < -0.7, vector((0, -2.0, 0)), 0)
    comb = comb + np.where(q[:, 1:2] > 0.62, vector((0, 1.5, 0)), 0)
    comb = unit(comb - n * dot(comb, n)[:, None])
    way = unit(comb + 0.35 * n + 0.9 * relief(q * 3 + face.seed) + 0.25 * rng.normal(size=q.shape)).astype(np.float32)
    far = np.sqrt(dot(q - vector(face.nose), q - vector(face.nose)))
    length = face.hair * (0.25 + 0.75 * smooth(0.25, 1.0, far)) * rng.uniform(0.6, 1.2, count)
    length = length * np.where(q[:, 1] > 0.75, 0.6, 1.0)
    middle = q + way * (length * 0.5)[:, None]
    tip = q + way * length[:, None] + vector((0, -0.12, 0)) * length[:, None]
    colour = _coloured(face, q, n) * (lit * rng.uniform(0.72, 1.3, count))[:, None]
    shown = [_on_screen(points @ face.turn.T, fine) for points in (q, middle, tip)]
    shades = [_bytes(colour * share) for share in (0.85, 1.1)]
    canvas = ImageDraw.Draw(picture)
    for k in np.argsort((q @ face.turn.T)[:, 2] + rng.normal(0, 0.03, count)):
        a, b, c = (tuple(points[k]) for points in shown)
        canvas.line((a, b), fill=tuple(shades[0][k]), width=FINE)
        canvas.line((b, c), fill=tuple(shades[1][k]), width=1)

    _features(face, picture, fine)
    picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    grain = np.asarray(picture, np.float32) + rng.normal(0, 1.5, (side, side, 3))
    return Image.fromarray((np.clip(grain, 0, 255) + 0.5).astype(np.uint8))


def _light(distance: Callable[[Array], Array], p: Array, normal: Array, turn: Array) -> Array:
    """How bright a white surface is: lamp and sky, darker in hollows."""
    world = normal @ turn.T
    hollow = np.clip(distance(p + normal * 0.22) / 0.22, 0.55, 1)
    return np.asarray((0.52 + 0.26 * world[:, 1] + 0.95 * np.maximum(dot(world, LAMP), 0)) * hollow)


def _coloured(face: Face, p: Array, normal: Array) -> Array:
    """The coat, and bare skin inside upright ears."""
    colour = face.coat(p)
    if any(lobe.centre[1] > 0.7 for lobe in face.lobes):
        ear = max(face.lobes, key=lambda lobe: lobe.centre[1])
        x = (np.abs(p[:, 0]) - abs(ear.centre[0]) - 0.36 * (p[:, 1] - ear.centre[1])) / ear.radii[0]
        y = (p[:, 1] - ear.centre[1] + 0.06) / ear.radii[1]
        inside = smooth(0.72, 0.35, np.hypot(x / (1 - 0.5 * y), y)) * smooth(0.55, 0.75, p[:, 1])
        inside = inside * smooth(0.2, 0.6, normal[:, 2])
        colour = mix(colour, vector((0.50, 0.28, 0.24)), 0.7 * inside)
    return colour


def _features(face: Face, picture: Image.Image, fine: int) -> None:
    """Eyes, nose, mouth and whiskers, over the fur."""
    canvas = ImageDraw.Draw(picture)
    unit_px = fine / (2 * WIDE)

    def at(point: Triple | Array) -> Array:
        return _on_screen((np.asarray(point, np.float32)[None] @ face.turn.T), fine)[0]

    for way in (1, -1):
        centre, out = at((way * face.eye[0], *face.eye[1:])), at((way * (face.eye[0] + 0.1), *face.eye[1:]))
        _eye(face, picture, centre, (out - centre) * way, way, unit_px)
    tip, across = at(face.nose), at(vector(face.nose) + vector((0.1, 0, 0)))
    _nose(face, picture, tip, across - tip, unit_px)
    x, y, z = face.nose
    drop, corner = 1.15 * face.nose_size, (0.2 if face.slit else 0.3)
    low = at((x, y - 1.45 * drop, z - 0.08))
    canvas.line([tuple(at((x, y - 0.7 * drop, z))), tuple(low)], fill=(30, 20, 18), width=FINE)
    for way in (1, -1):
        curve = [at((way * corner * t, y - drop * (1.45 + 0.45 * np.sin(np.pi * 0.75 * t)), z - 0.08 - 0.2 * t))
                 for t in np.linspace(0, 1, 8)]  # fmt: skip
        canvas.line([tuple(point) for point in curve], fill=(38, 26, 24), width=FINE)
        if face.whiskers:
            for k in range(4):
                start = vector((way * 0.24, y - 0.12 - 0.05 * k, z - 0.12))
                ends = [start + vector((way * 1.05 * t, (0.22 - 0.13 * k) * t - 0.12 * t * t, -0.3 * t))
                        for t in np.linspace(0, 1, 8)]  # fmt: skip
                canvas.line([tuple(at(point)) for point in ends], fill=(226, 222, 216), width=1)


def _eye(face: Face, picture: Image.Image, centre: Array, across: Array, way: int, unit_px: float) -> None:
    """An almond with iris, pupil, the shadow of its lid and the lamp's reflection. across: the head's x axis."""
    radius = face.eye_size * unit_px
    box, u, v = _patch(picture, centre, across, 1.6 * radius)
    u, v = u / radius * way, v / radius
    v = v - 0.18 * u  # outer corners are higher
    openness = (0.82 if face.slit else 0.95) * np.sqrt(np.clip(1 - np.abs(u / 1.08) ** 2.2, 0, 1))
    rim = np.abs(v) / np.maximum(openness, 1e-3)
    soft = 2.0 / radius
    iris = smooth(1.0, 0.2, np.hypot(u, v)) * 0.7 + 0.45
    eye = vector(face.iris) * (iris + 0.3 * smooth(0.1, -0.8, v))[..., None]
    eye = eye * (1 - 0.75 * smooth(0.1, 0.85, v))[..., None]
    pupil = np.hypot(u / (0.34 if face.slit else 0.55), v / (0.78 if face.slit else 0.55))
    eye = mix(eye, vector((0.004, 0.004, 0.005)), smooth(1 + soft, 1 - soft, pupil))
    spark = np.hypot(u * way + 0.28, v - 0.34) / 0.17
    eye = mix(eye, vector((0.95, 0.97, 1.0)), smooth(1.2, 0.8, spark))
    lid = smooth(1.42, 1.12, rim) * (openness > 0.02) * smooth(1.3, 1.0, np.abs(u))
    under = np.asarray(picture.crop(box), np.float32)
    under = mix(under, vector((22.0, 15.0, 13.0)), 0.9 * lid)
    inside = smooth(1.06, 0.94, rim) * (openness > 0.05)
    _paste(picture, box, under, eye, inside)


def _nose(face: Face, picture: Image.Image, centre: Array, across: Array, unit_px: float) -> None:
    """A rounded triangle, pointing down, with two nostrils and a shine."""
    radius = face.nose_size * unit_px
    box, u, v = _patch(picture, centre, across, 2.0 * radius)
    u, v = u / radius, v / radius
    width = (1.25 if face.slit else 1.1) * (0.62 + 0.42 * v) + (0.0 if face.slit else 0.25)
    edge = np.maximum(np.abs(u) / np.maximum(width, 0.05), np.maximum(v / 0.75, -v / 0.95))
    edge = np.where(v > 0.2, np.hypot(np.abs(u) / np.maximum(width, 0.05), (v - 0.2) / 0.62), edge)
    skin = vector(face.nose_colour) * (0.75 + 0.45 * smooth(-0.6, 0.8, v))[..., None]
    shine = np.exp(-(((u + 0.2) / 0.5) ** 2) - ((v - 0.42) / 0.16) ** 2) * 0.3
    skin = mix(skin, vector((0.75, 0.75, 0.78)), shine)
    holes = np.hypot((np.abs(u) - 0.48) / 0.24, (v + 0.08 - 0.25 * (np.abs(u) - 0.48)) / 0.17)
    skin = mix(skin, vector((0.005, 0.004, 0.004)), smooth(1.2, 0.7, holes))
    under = np.asarray(picture.crop(box), np.float32)
    inside = smooth(1.1, 0.9, edge)
    _paste(picture, box, under, skin, inside)


def _paste(picture: Image.Image, box: Box, under: Array, linear: Array, inside: Array) -> None:
    """Puts a patch into the picture: colours of its own where it is inside, and what is under it elsewhere."""
    patch = mix(under, _bytes(linear).astype(np.float32), inside)
    picture.paste(Image.fromarray(patch.astype(np.uint8)), box[:2])


def _patch(picture: Image.Image, centre: Array, across: Array, reach: float) -> tuple[Box, Array, Array]:
    """The pixels around a place: their box, and how far they lie along `across` and upwards of it, in pixels."""
    left, top = (int(np.floor(value - reach)) for value in centre)
    box = (left, top, left + 2 * int(reach) + 2, top + 2 * int(reach) + 2)
    x, y = np.meshgrid(np.arange(box[0], box[2]) + 0.5 - centre[0], np.arange(box[1], box[3]) + 0.5 - centre[1])
    cosine, sine = across / np.hypot(*across)
    return box, x * cosine + y * sine, x * sine - y * cosine


def _on_screen(p: Array, fine: int) -> Array:
    """Points (N, 3) of the world -> places (N, 2) in pixels."""
    return np.stack([(p[:, 0] / WIDE + 1) * fine / 2, (1 - (p[:, 1] - HIGH) / WIDE) * fine / 2], 1)


def _bytes(linear: Array) -> Array:
    return np.asarray((np.clip(linear, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))


FACES = {
    "cat_ginger": cat(4),
    "cat_grey": cat(0),
    "cat_tabby": cat(20),
    "dog_golden": dog(1),
    "dog_grey": dog(11),
    "dog_tricolour": dog(0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the sample faces.")
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join(FACES))
    for name in parser.parse_args().names or FACES:
        draw(FACES[name], SIDE).save(Path(__file__).parent / f"{name}.jpg", quality=92, optimize=True)


if __name__ == "__main__":
    main()
