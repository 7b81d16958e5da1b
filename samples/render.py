"""Renders the sample pictures: apples and oranges made of numbers alone.

python samples/render.py [NAME...]    (all of them without a name) writes samples/NAME.jpg

A small distributed ray tracer: every shape is a signed distance that rays are marched to, and every ray has
its own point of the pixel, the lens and the lamp, which gives smooth edges, depth of field and soft shadows
at once. Points and directions are arrays (N, 3), y is up, an apple's radius is about 1; colours are linear.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

Array = np.ndarray  # of float32
Triple = tuple[float, float, float]  # a place, a direction or a colour
Sdf = Callable[[Array], Array]


@dataclass(frozen=True)
class Surface:
    """What a skin is at each point: its colour, its normal with the relief, how sharply it mirrors (0..1)."""

    colour: Array
    normal: Array
    gloss: Array


Skin = Callable[[Array, Array], Surface]  # of points and normals
Backdrop = Callable[[Array], Array]  # of directions


@dataclass(frozen=True)
class Thing:
    """A shape with a skin, both in local coordinates, and where it stands."""

    sdf: Sdf
    skin: Skin
    centre: Triple
    bound: float  # radius of a sphere around `centre` (in local units) that holds the shape
    mean: Triple | None = None  # the colour its neighbours see; None: too small to matter
    scale: float = 1.0
    turn: Array = field(default_factory=lambda: np.eye(3, dtype=np.float32))  # local -> world

    def local(self, points: Array) -> Array:
        return ((points - vector(self.centre)) @ self.turn) / np.float32(self.scale)


@dataclass(frozen=True)
class Scene:
    things: list[Thing]
    ground: Callable[[Array], Surface]
    backdrop: Backdrop
    eye: Triple
    target: Triple
    size: tuple[int, int] = (640, 480)  # width, height
    view: float = 26.0  # vertical angle, degrees
    lens: float = 0.05  # radius of the aperture
    lamp: Triple = (-5.0, 8.0, 5.0)
    lamp_size: float = 2.2
    key: float = 1.0
    fill: float = 0.5
    fill_colour: Triple = (1.0, 1.0, 1.0)
    grain: float = 0.006


PHI = 1.1127757  # solves x^7 = x + 1


# ---- small tools ----


def vector(values: Triple) -> Array:
    return np.asarray(values, dtype=np.float32)


def dot(a: Array, b: Array) -> Array:
    return np.einsum("...i,...i->...", a, b)


def unit(a: Array) -> Array:
    return a / np.maximum(np.sqrt(dot(a, a)), 1e-9)[..., None]


def smooth(low: float, high: float, x: Array) -> Array:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Array, b: Array, share: Array) -> Array:
    return a + (b - a) * share[..., None]


def rotation(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Array:
    """Turns about the three axes, degrees, x first."""
    cx, cy, cz = np.cos(np.radians([x, y, z]))
    sx, sy, sz = np.sin(np.radians([x, y, z]))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x).astype(np.float32)


UP = vector((0, 1, 0))
WANDERING = vector((0.22, 0.10, 0.08))  # how far light goes round the edge inside the flesh


# ---- noise ----

LATTICE = np.random.default_rng(1).random((32, 32, 32), dtype=np.float32)
SPOTS = np.random.default_rng(2).random((32, 32, 32, 3), dtype=np.float32)


def noise(points: Array) -> Array:
    """Smooth value noise, 0..1, one bump per unit."""
    cell = np.floor(points)
    f = points - cell
    f = f * f * (3 - 2 * f)
    i = cell.astype(np.int32) & 31
    j = (i + 1) & 31
    result = np.zeros(len(points), np.float32)
    for x, wx in ((i[:, 0], 1 - f[:, 0]), (j[:, 0], f[:, 0])):
        for y, wy in ((i[:, 1], 1 - f[:, 1]), (j[:, 1], f[:, 1])):
            low, high = LATTICE[x, y, i[:, 2]], LATTICE[x, y, j[:, 2]]
            result += wx * wy * (low + (high - low) * f[:, 2])
    return result


def clouds(points: Array, octaves: int = 4) -> Array:
    """Noise at several scales, 0..1 around 0.5."""
    total = sum(noise(points * 2**k + 7.3 * k) / 2**k for k in range(octaves))
    return np.asarray(total / (2 - 2 ** (1 - octaves)), dtype=np.float32)


def relief(points: Array) -> Array:
    """Three independent noises, -0.5..0.5: what to add to a normal or a position to roughen it."""
    return np.stack([noise(points + k) for k in (0.0, 31.0, 67.0)], 1) - 0.5


def nearest_spot(points: Array) -> tuple[Array, Array]:
    """The offset from the nearest random spot (one per unit cell), and a random number of that spot."""
    cell = np.floor(points).astype(np.int32)
    best = np.full(len(points), np.inf, np.float32)
    offset = np.zeros_like(points)
    mark = np.zeros(len(points), np.float32)
    for step in np.ndindex(3, 3, 3):
        corner = cell + np.array(step, np.int32) - 1
        spot = SPOTS[tuple((corner & 31).T)]
        away = points - corner - (0.15 + 0.7 * spot)
        distance = dot(away, away)
        closer = distance < best
        best[closer] = distance[closer]
        offset[closer] = away[closer]
        mark[closer] = (spot[closer].sum(1) * 7.77) % 1
    return offset, mark


# ---- shapes ----


def apple_shape(lobes: float = 0.011, tall: float = 0.06) -> Sdf:
    """Shoulders around a deep stem pit, narrower below, five bumps around the shallow pit of the blossom."""

    def sdf(p: Array) -> Array:
        radius = np.sqrt(dot(p, p)) + 1e-6
        angle = np.arctan2(np.hypot(p[:, 0], p[:, 2]), p[:, 1])  # from the stem
        around = np.arctan2(p[:, 2], p[:, 0])
        up = p[:, 1] / radius
        wanted = 0.94 + tall * up * up - 0.10 * smooth(0.25, -0.9, up)
        wanted -= 0.40 * np.exp(-((angle / 0.34) ** 1.35))
        wanted -= 0.17 * np.exp(-(((np.pi - angle) / 0.25) ** 2))
        wanted += lobes * np.cos(5 * around) * smooth(0.3, -0.9, up)
        wanted += 0.012 * np.cos(3 * around + 1.0) * smooth(0.0, 0.8, up)
        return (radius - wanted) * 0.72

    return sdf


def orange_shape(p: Array) -> Array:
    """A slightly flattened ball with a shallow pit at the stem."""
    radius = np.sqrt(dot(p, p)) + 1e-6
    angle = np.arctan2(np.hypot(p[:, 0], p[:, 2]), p[:, 1])
    around = np.arctan2(p[:, 2], p[:, 0])
    wanted = 0.97 - 0.035 * (p[:, 1] / radius) ** 2 - 0.07 * np.exp(-((angle / 0.22) ** 1.5))
    wanted += 0.008 * np.cos(7 * around) * np.exp(-((angle / 0.5) ** 2))
    return (radius - wanted) * 0.85


def half_orange_shape(p: Array) -> Array:
    """The lower half; the cut lies in the plane y = 0."""
    ball = np.sqrt(dot(p, p)) - 0.96
    return np.maximum(ball, p[:, 1]) * np.float32(0.95)


def stem_shape(bend: float, length: float = 0.62) -> Sdf:
    """A bent stick that thickens towards its end; starts at the origin."""

    def sdf(p: Array) -> Array:
        y = np.clip(p[:, 1], 0, length)
        share = y / length
        sideways = p[:, 0] - bend * share * share
        width = 0.034 + 0.026 * smooth(0.75, 1.0, share) + 0.02 * smooth(0.25, 0.0, share)
        across = np.hypot(sideways, p[:, 2])
        return (np.hypot(np.maximum(across - width, 0), p[:, 1] - y) + np.minimum(across - width, 0)) * 0.7

    return sdf


# ---- skins ----


def apple_skin(seed: int, red: float, ground: Triple) -> Skin:
    """Red streaks over a yellow-green ground; `red` 0 (a green apple) to 1 (all red)."""
    shift = np.float32(11.7 * seed)

    def skin(p: Array, normal: Array) -> Surface:
        up = p[:, 1] / np.sqrt(dot(p, p))
        around = unit(p * vector((1, 0, 1)))
        angle = np.arccos(np.clip(up, -1, 1))
        blotches = clouds(p * 1.3 + shift, 3)
        warped = around + 0.16 * relief(p * 2.2 + shift)
        streaks = np.stack([warped[:, 0] * 7, angle * 0.9, warped[:, 2] * 7], 1) + shift
        fine = clouds(streaks * vector((3.5, 1.6, 3.5)), 3)
        streak = 0.45 * clouds(streaks, 3) + 0.55 * fine
        cover = red * 2.1 - 1.05 + (blotches - 0.5) * 1.9 + (streak - 0.5) * 1.8 + 0.15 * up
        cover = smooth(-0.45, 0.40, cover - 0.6 * np.exp(-((angle / 0.36) ** 2)))
        under = mix(vector(ground), vector((0.34, 0.42, 0.05)), smooth(0.35, 0.75, clouds(p * 2 + shift, 3)))
        depth = smooth(0.25, 0.75, 0.5 * streak + 0.5 * blotches)
        over = mix(vector((0.47, 0.022, 0.016)), vector((0.24, 0.004, 0.012)), depth)
        colour = mix(under, over, cover)
        russet = np.exp(-((angle / 0.24) ** 2)) * (0.4 + 0.9 * noise(p * 18 + shift))
        colour = mix(colour, vector((0.30, 0.22, 0.055)), np.clip(russet, 0, 0.85))
        offset, mark = nearest_spot(p * 9 + shift)
        size = 0.10 + 0.09 * mark
        dots = smooth(1.0, 0.35, np.sqrt(dot(offset, offset)) / size) * (mark > 0.25) * 0.35
        colour = mix(colour, vector((0.72, 0.50, 0.25)), dots)
        return Surface(colour, unit(normal + 0.035 * relief(p * 5 + shift)), np.full(len(p), 0.85, np.float32))

    return skin


def orange_skin(seed: int) -> Skin:
    """Peel full of small pits, with the button of the stem."""
    shift = np.float32(5.3 * seed)

    def skin(p: Array, normal: Array) -> Surface:
        angle = np.arccos(np.clip(p[:, 1] / np.sqrt(dot(p, p)), -1, 1))
        around = np.arctan2(p[:, 2], p[:, 0])
        offset, mark = nearest_spot(p * 15 + shift)
        width = 0.30 + 0.16 * mark
        pit = np.exp(-dot(offset, offset) / width**2)
        slope = offset * (pit * 2 / width**2)[:, None] * 0.13
        bent = unit(normal - slope + 0.14 * relief(p * 6 + shift))
        tone = clouds(p * 1.6 + shift, 3)
        colour = mix(vector((0.90, 0.30, 0.008)), vector((0.80, 0.185, 0.004)), smooth(0.3, 0.7, tone))
        colour = colour * (1 - 0.10 * pit)[:, None]
        colour = mix(colour, vector((0.42, 0.30, 0.02)), 0.45 * np.exp(-((angle / 0.25) ** 2)))
        star = 0.085 + 0.018 * np.cos(5 * around)
        button = smooth(1.15, 0.9, angle / star)
        dry = mix(vector((0.13, 0.15, 0.035)), vector((0.30, 0.22, 0.10)), noise(p * 40))
        return Surface(mix(colour, dry, button), bent, (0.50 * (1 - button)).astype(np.float32))

    return skin


def half_orange_skin(seed: int, segments: int = 10) -> Skin:
    """Peel outside; on the cut: peel, pith, and segments of juice sacs between pale walls."""
    outside = orange_skin(seed)

    def skin(p: Array, normal: Array) -> Surface:
        peel = outside(p, normal)
        radius = np.hypot(p[:, 0], p[:, 2])
        around = np.arctan2(p[:, 2], p[:, 0])
        wobble = 0.25 * (noise(np.stack([around * 1.5, radius * 2, radius * 0 + seed], 1)) - 0.5)
        turn = ((around / (2 * np.pi) * segments + wobble + seed * 0.37) % 1) - 0.5
        to_wall = (0.5 - np.abs(turn)) * 2 * np.pi / segments * radius
        sacs = np.stack([turn * 16 * (0.5 + radius), radius * 3.2, np.floor(around * 3) + seed], 1)
        sac = clouds(sacs, 3)
        flesh = mix(vector((0.93, 0.30, 0.012)), vector((0.98, 0.47, 0.07)), smooth(0.35, 0.75, sac))
        flesh = mix(flesh, vector((0.95, 0.58, 0.16)), 0.5 * smooth(0.35, 0.1, radius))
        pith = vector((0.93, 0.80, 0.50))
        edge = 0.855 - 0.05 * smooth(0.06, 0.0, to_wall)
        face = mix(flesh, pith, np.maximum(smooth(0.022, 0.004, to_wall), smooth(0.10, 0.05, radius)) * 0.65)
        face = mix(face, pith, smooth(-0.015, 0.02, radius - edge))
        face = mix(face, vector((0.88, 0.27, 0.01)), smooth(0.895, 0.925, radius))
        cut = normal[:, 1] > 0.9
        juicy = (radius < 0.82)[:, None]
        return Surface(
            np.where(cut[:, None], face, peel.colour),
            np.where(cut[:, None], unit(normal + 0.25 * relief(sacs * 1.5) * juicy), peel.normal),
            np.where(cut, 0.55 * juicy[:, 0], peel.gloss).astype(np.float32),
        )

    return skin


def stem_skin(p: Array, normal: Array) -> Surface:
    share = smooth(0.3, 0.7, clouds(p * vector((30, 7.5, 30)), 3))
    return Surface(mix(vector((0.06, 0.03, 0.012)), vector((0.22, 0.13, 0.05)), share), normal, share * 0)


def wood_colour(p: Array, dark: Array, light: Array) -> Array:
    """Grain along x."""
    bend = clouds(p * vector((0.35, 1, 1.1)), 3)
    rings = np.sin(p[:, 2] * 7 + bend * 16 + 2 * noise(p * vector((0.3, 1, 2)))) * 0.5 + 0.5
    fibre = clouds(p * vector((1.6, 30, 30)), 3)
    return mix(dark, light, np.clip(0.2 + 0.45 * rings * bend * 1.6 + 0.75 * (fibre - 0.5), 0, 1))


# ---- grounds and backdrops ----


def white_ground(p: Array) -> Surface:
    colour = np.broadcast_to(vector((1.3, 1.3, 1.3)), p.shape)
    return Surface(colour, np.broadcast_to(UP, p.shape), np.zeros(len(p), np.float32))


def wooden_table(dark: Triple, light: Triple, plank: float = 2.6) -> Callable[[Array], Surface]:
    """Boards along x, each `plank` wide, with dark gaps between them."""

    def ground(p: Array) -> Surface:
        place = p[:, 2] / plank + 0.37
        board = np.floor(place)
        grain = p + np.stack([board * 13.1, board * 0, board * 3.7], 1).astype(np.float32)
        colour = wood_colour(grain, vector(dark), vector(light))
        colour = colour * (0.85 + 0.3 * (board * 0.618 % 1))[:, None]
        gap = np.abs(place - np.round(place)) * plank
        colour = colour * (0.25 + 0.75 * smooth(0.012, 0.04, gap))[:, None]
        normal = unit(UP + 0.05 * relief(grain * vector((2, 1, 25))))
        return Surface(colour, normal, np.full(len(p), 0.3, np.float32))

    return ground


def white_backdrop(d: Array) -> Array:
    return np.broadcast_to(vector((1.05, 1.05, 1.05)), d.shape)


def blurred_lights(base: Triple, top: Triple, lights: list[Triple], seed: int) -> Backdrop:
    """A distant background out of focus: a soft gradient, clouds of tone and pale discs of light."""

    def backdrop(d: Array) -> Array:
        tone = clouds(d * 5 + seed, 3)
        colour = mix(vector(base), vector(top), smooth(0.25, 0.75, tone))
        rng = np.random.default_rng(seed)
        for _ in range(45):
            where = unit(vector((rng.uniform(-0.6, 0.6), rng.uniform(-0.12, 0.42), -1.0)))
            size, strength = rng.uniform(0.018, 0.05), rng.uniform(0.05, 0.32)
            light = vector(lights[rng.integers(len(lights))])
            away = np.sqrt(np.maximum(2 - 2 * d @ where, 0))
            colour = mix(colour, light, strength * smooth(1.0, 0.8, away / np.float32(size)))
        return colour

    return backdrop


# ---- light ----


def march(thing: Thing, start: Array, way: Array, steps: int) -> Array:
    """Distance along each ray to the thing, infinite where it is missed."""
    reach = np.full(len(start), np.inf, np.float32)
    bound = np.float32(thing.bound * thing.scale)
    to_centre = vector(thing.centre) - start
    along = dot(to_centre, way)
    root = bound**2 - dot(to_centre, to_centre) + along**2
    live = np.flatnonzero((root > 0) & (along + np.sqrt(np.maximum(root, 0)) > 0))
    half = np.sqrt(root[live])
    t = np.maximum(along[live] - half, 0.0)
    end = along[live] + half
    p0, w = thing.local(start[live]), (way[live] @ thing.turn) / np.float32(thing.scale)
    for _ in range(steps):
        if not len(live):
            break
        gap = thing.sdf(p0 + w * t[:, None]) * np.float32(thing.scale)
        hit = gap < 0.002
        reach[live[hit]] = t[hit]
        t = t + gap
        keep = ~hit & (t < end)
        live, t, end, p0, w = live[keep], t[keep], end[keep], p0[keep], w[keep]
    return reach


def normals(sdf: Sdf, p: Array, step: float = 0.004) -> Array:
    """Slope of the distance, from the four corners of a small tetrahedron."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], np.float32)
    total = sum(corner * sdf(p + corner * np.float32(step))[:, None] for corner in corners)
    return unit(np.asarray(total))


def openness(scene: Scene, p: Array, normal: Array, own: Thing | None) -> tuple[Array, Array]:
    """How much of the sky the other things leave free (0..1), and the colour that they throw back."""
    free = np.ones(len(p), np.float32)
    bounce = np.zeros_like(p)
    for thing in scene.things:
        if thing is own or thing.mean is None:
            continue
        away = vector(thing.centre) - p
        distance = np.sqrt(dot(away, away))
        radius = np.float32(0.95 * thing.scale)
        cosine = dot(normal, away) / distance
        hidden = np.clip(0.5 + 0.5 * cosine, 0, 1) ** 2 * np.minimum(radius / distance, 1) ** 2
        free *= 1 - hidden
        bounce += hidden[:, None] * vector(thing.mean)
    return free, bounce


def surroundings(scene: Scene, p: Array, way: Array, own: Thing | None, gloss: Array) -> Array:
    """What a mirroring surface sees: the lamp as a bright window, a pale sky, the ground, the neighbours."""
    lamp = vector(scene.lamp)
    facing = unit(lamp)
    side = unit(np.cross(UP, facing))
    reach = dot(lamp - p, np.broadcast_to(facing, p.shape)) / np.maximum(way @ facing, 1e-3)
    at = p + way * reach[:, None] - lamp
    blur = 0.15 + 2.2 * (1 - gloss)
    u = np.abs(at @ side) / scene.lamp_size
    v = np.abs(at @ np.cross(facing, side)) / scene.lamp_size
    window = smooth(1, 0, (u - 1) / blur + 0.5) * smooth(1, 0, (v - 1) / blur + 0.5) * (way @ facing > 0.02)
    window = window * np.where((u < 0.06) & (gloss > 0.7), 0.35, 1.0)  # the bar between its two panes
    sky = vector(scene.fill_colour) * (scene.fill * (0.35 + 0.65 * smooth(-0.1, 0.9, way[:, 1])))[:, None]
    colour = sky + vector((14.0, 13.6, 13.0)) * (scene.key * window / (1 + 5 * (1 - gloss)))[:, None]
    for thing in scene.things:
        if thing is own or thing.mean is None:
            continue
        away = vector(thing.centre) - p
        along = dot(away, way)
        miss = np.sqrt(np.maximum(dot(away, away) - along**2, 0))
        covered = smooth(1.05, 0.8, miss / np.float32(thing.scale)) * (along > 0)
        colour = mix(colour, vector(thing.mean) * 0.6, covered)
    return colour


def shade(
    scene: Scene, p: Array, way: Array, surface: Surface, true_normal: Array, own: Thing | None, jitter: Array
) -> Array:
    """The light that points send back along their rays; `own`: the thing they lie on, None for the ground."""
    normal = surface.normal
    lamp = vector(scene.lamp)
    side = unit(np.cross(UP, lamp))
    lift = unit(np.cross(lamp, side))
    corner = (jitter * 2 - 1) * np.float32(scene.lamp_size)
    to_lamp = unit(lamp + corner[:, :1] * side + corner[:, 1:] * lift - p)
    lit = np.ones(len(p), np.float32)
    faces_lamp = np.flatnonzero(dot(true_normal, to_lamp) > -0.05)
    start = p[faces_lamp] + true_normal[faces_lamp] * 0.012
    for thing in scene.things:
        lit[faces_lamp] *= np.isinf(march(thing, start, to_lamp[faces_lamp], 28))
    free, bounce = openness(scene, p, normal, own)
    direct = dot(normal, to_lamp)[:, None]
    upward = (0.5 + 0.5 * normal[:, 1])[:, None]
    sky = upward * vector(scene.fill_colour) * scene.fill
    if own is not None:
        direct = (direct + WANDERING) / (1 + WANDERING)
        floor = scene.ground(p * vector((1, 0, 1))).colour.mean(0)
        reaching = 0.7 * scene.key * (0.25 + 0.75 * smooth(0.0, 0.9, p[:, 1]))
        sky = sky + (1 - upward) * floor * reaching[:, None]
    around = (sky + 0.3 * scene.key * bounce) * free[:, None]
    light = scene.key * np.maximum(direct, 0) * lit[:, None] + around
    if not surface.gloss.any():
        return surface.colour * light
    mirror = unit(way - 2 * dot(way, normal)[:, None] * normal)
    fresnel = 0.035 + 0.6 * (1 - np.clip(-dot(way, normal), 0, 1)) ** 5
    strength = fresnel * (surface.gloss > 0) * (0.3 + 0.7 * surface.gloss) * free * (0.25 + 0.75 * lit)
    return surface.colour * light + surroundings(scene, p, mirror, own, surface.gloss) * strength[:, None]


def trace(scene: Scene, start: Array, way: Array, jitter: Array) -> Array:
    """The colour at the end of each ray; `jitter` (N, 2), 0..1, picks the point of the lamp that shines."""
    with np.errstate(divide="ignore"):
        to_ground = np.where(way[:, 1] < -1e-4, -start[:, 1] / way[:, 1], np.inf)
    reaches = np.stack([to_ground, *[march(thing, start, way, 70) for thing in scene.things]])
    first, reach = reaches.argmin(0), reaches.min(0)
    focus = np.linalg.norm(vector(scene.eye) - vector(scene.target))
    haze = np.where(first == 0, smooth(1.2, 3.4, reach / focus), 0)  # the far ground melts into the backdrop
    colour = np.zeros_like(way)
    for number in range(len(reaches)):
        where = np.flatnonzero((first == number) & (haze < 1))
        if not len(where):
            continue
        p = start[where] + way[where] * reach[where, None]
        if number == 0:
            own, surface = None, scene.ground(p)
            normal = np.broadcast_to(UP, p.shape)
        else:
            own = scene.things[number - 1]
            local = own.local(p)
            normal = normals(own.sdf, local)
            skin = own.skin(local, normal)
            surface, normal = replace(skin, normal=skin.normal @ own.turn.T), normal @ own.turn.T
        colour[where] = shade(scene, p, way[where], surface, normal, own, jitter[where])
    hazy = np.flatnonzero(haze > 0)
    colour[hazy] = mix(colour[hazy], scene.backdrop(way[hazy]), haze[hazy])
    return colour


def render(scene: Scene, scale: float = 1.0, samples: int = 16) -> Image.Image:
    """The scene as a picture, `scale` times its own size, from `samples` rays a pixel; always the same."""
    width, height = (round(side * scale) for side in scene.size)
    eye, target = vector(scene.eye), vector(scene.target)
    ahead = unit(target - eye)
    right = unit(np.cross(ahead, UP))
    up = np.cross(right, ahead)
    focus = np.float32(np.linalg.norm(target - eye))
    rows, columns = (axis.ravel() for axis in np.mgrid[:height, :width])
    rng = np.random.default_rng(7)
    # The rays of a pixel spread evenly over pixel, lens and lamp: a random start, then Roberts' sequence R_6
    # ("The unreasonable effectiveness of quasirandom sequences", 2018).
    first = rng.random((height * width, 6), dtype=np.float32)
    stride = (1 / PHI) ** np.arange(1, 7)
    total = np.zeros((height * width, 3), np.float32)
    for number in range(samples):
        dice = (first + (number * stride % 1).astype(np.float32)) % 1
        x = (columns + dice[:, 0] - width / 2) / height
        y = (height / 2 - rows - dice[:, 1]) / height
        spread = np.float32(2 * np.tan(np.radians(scene.view / 2)))
        aim = ahead + (x[:, None] * right + y[:, None] * up) * spread
        radius, turn = np.sqrt(dice[:, 2]) * np.float32(scene.lens), dice[:, 3] * np.float32(2 * np.pi)
        start = eye + (radius * np.cos(turn))[:, None] * right + (radius * np.sin(turn))[:, None] * up
        way = unit(eye + aim * focus - start).astype(np.float32)
        total += np.clip(trace(scene, start.astype(np.float32), way, dice[:, 4:]), 0, 4)
    linear = total / samples
    over = np.maximum(linear - 0.8, 0)
    linear = np.minimum(linear, 0.8) + 0.25 * np.tanh(over / 0.25)  # highlights roll off
    display = np.clip(linear, 0, 1) ** (1 / 2.2)
    display += rng.normal(0, scene.grain, display.shape)
    return Image.fromarray((np.clip(display, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(height, width, 3))


# ---- the pictures ----


def apple(
    x: float,
    z: float,
    seed: int,
    red: float = 1.0,
    scale: float = 1.0,
    tilt: Triple = (0, 0, 0),
    bend: float = 0.18,
) -> list[Thing]:
    """An apple and its stem."""
    turn = rotation(*tilt)
    centre = (x, 0.83 * scale, z)
    under = (0.60, 0.47, 0.09) if red > 0 else (0.30, 0.44, 0.045)
    mean = (0.42, 0.02, 0.02) if red > 0.5 else (0.40, 0.42, 0.06)
    pit = vector(centre) + turn @ vector((0, 0.50, 0)) * np.float32(scale)
    place = (float(pit[0]), float(pit[1]), float(pit[2]))
    return [
        Thing(apple_shape(), apple_skin(seed, red, under), centre, 1.06, mean, scale, turn),
        Thing(stem_shape(bend), stem_skin, place, 0.85, None, scale, turn),
    ]


def orange(
    x: float,
    z: float,
    seed: int,
    scale: float = 1.0,
    tilt: Triple = (0, 0, 0),
    y: float | None = None,
) -> Thing:
    centre = (x, 0.93 * scale if y is None else y, z)
    return Thing(orange_shape, orange_skin(seed), centre, 1.0, (0.75, 0.20, 0.01), scale, rotation(*tilt))


def apple_on_white() -> Scene:
    return Scene(
        things=apple(0, 0, 3, 0.95, tilt=(14, 40, -6)),
        ground=white_ground,
        backdrop=white_backdrop,
        eye=(0, 2.9, 7.4),
        target=(0.15, 0.85, 0),
        size=(512, 512),
        view=23.5,
        lens=0.03,
        key=0.95,
        fill=0.28,
    )


def apples_on_table() -> Scene:
    return Scene(
        things=[
            *apple(-1.15, 0.0, 5, 0.92, tilt=(10, 70, 8)),
            *apple(1.0, 0.35, 9, 0.80, 0.96, tilt=(20, 200, -12), bend=-0.2),
            *apple(0.15, -1.75, 13, 1.0, 1.02, tilt=(-6, 120, 5)),
        ],
        ground=wooden_table((0.10, 0.042, 0.016), (0.36, 0.19, 0.08)),
        backdrop=blurred_lights(
            (0.20, 0.14, 0.09), (0.42, 0.33, 0.22), [(0.90, 0.75, 0.50), (0.60, 0.42, 0.25)], seed=4
        ),
        eye=(0.2, 2.9, 8.0),
        target=(0, 0.78, 0),
        view=25,
        lens=0.10,
        key=1.15,
        fill=0.26,
        fill_colour=(0.92, 0.97, 1.05),
    )


def apples_red_and_green() -> Scene:
    return Scene(
        things=[
            *apple(-0.98, 0.15, 21, 1.0, tilt=(8, 30, 6)),
            *apple(1.05, -0.1, 24, 0.0, 0.98, tilt=(12, 150, -7), bend=-0.15),
        ],
        ground=wooden_table((0.22, 0.17, 0.12), (0.50, 0.42, 0.32), 2.0),
        backdrop=blurred_lights(
            (0.05, 0.14, 0.025), (0.22, 0.38, 0.07), [(0.75, 0.90, 0.35), (0.40, 0.62, 0.15)], seed=8
        ),
        eye=(0, 1.7, 7.6),
        target=(0, 0.86, 0),
        view=24,
        lens=0.12,
        lamp=(5.5, 7.5, 5.0),
        key=1.15,
        fill=0.30,
        fill_colour=(0.93, 1.02, 0.93),
    )


def orange_on_white() -> Scene:
    return Scene(
        things=[orange(0, 0, 2, tilt=(38, 0, -18))],
        ground=white_ground,
        backdrop=white_backdrop,
        eye=(0, 2.6, 7.4),
        target=(0.15, 0.86, 0),
        size=(512, 512),
        view=23,
        lens=0.03,
        key=0.95,
        fill=0.28,
    )


def oranges_pile() -> Scene:
    rng = np.random.default_rng(5)
    fruits: list[Thing] = []
    for layer, (rows, count) in enumerate(((3, 4), (2, 3), (1, 2))):
        for row in range(rows):
            for column in range(count - row % 2):
                x = (column - (count - row % 2 - 1) / 2) * 1.96 + rng.uniform(-0.08, 0.08)
                z = 1.2 - row * 1.66 - layer * 1.05 + rng.uniform(-0.08, 0.08)
                tilt = (rng.uniform(-70, 100), rng.uniform(0, 360), rng.uniform(-60, 60))
                fruits.append(orange(x, z, len(fruits), rng.uniform(0.96, 1.03), tilt, 0.95 + 1.42 * layer))
    return Scene(
        things=fruits,
        ground=wooden_table((0.10, 0.042, 0.016), (0.30, 0.15, 0.06)),
        backdrop=blurred_lights((0.05, 0.08, 0.03), (0.16, 0.2, 0.08), [(0.80, 0.80, 0.50)], seed=3),
        eye=(0.8, 4.6, 13.0),
        target=(0, 2.1, 0),
        view=26,
        lens=0.06,
        key=1.15,
        fill=0.26,
    )


def oranges_on_table() -> Scene:
    half = Thing(
        half_orange_shape,
        half_orange_skin(3),
        centre=(1.0, 0.94, 0.55),
        bound=1.0,
        mean=(0.8, 0.3, 0.05),
        turn=rotation(52, 12, -16),
    )
    return Scene(
        things=[orange(-0.85, -0.35, 7, 1.05, (28, 30, 22)), half],
        ground=wooden_table((0.12, 0.055, 0.022), (0.40, 0.23, 0.10), 2.2),
        backdrop=blurred_lights(
            (0.10, 0.13, 0.12), (0.35, 0.38, 0.33), [(0.90, 0.90, 0.80), (0.50, 0.60, 0.50)], seed=11
        ),
        eye=(0, 2.5, 7.8),
        target=(0, 0.80, 0.1),
        view=24,
        lens=0.09,
        key=1.15,
        fill=0.28,
        fill_colour=(0.95, 0.98, 1.03),
    )


SCENES = {
    scene.__name__: scene
    for scene in (
        apple_on_white,
        apples_on_table,
        apples_red_and_green,
        orange_on_white,
        oranges_on_table,
        oranges_pile,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the sample pictures.")
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join(SCENES))
    for name in parser.parse_args().names or SCENES:
        picture = render(SCENES[name]())
        picture.save(Path(__file__).parent / f"{name}.jpg", quality=92, optimize=True)


if __name__ == "__main__":
    main()
