"""Pictures wait here, as paths, for others of their working shape: those share their forward passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from translate.folders.plan import Item
from translate.folders.settings import Settings
from translate.pipeline import Translator

# Bounds of what is in memory at a time. A pixel of a picture takes some 15 bytes, one of a working copy some 1000.
GROUP_WORKING_PIXELS = 90_000  # on a CPU, where larger groups gain nothing; four pictures of a 128 px model
ACCELERATOR_GROUPS = 4  # how many times more an accelerator takes
GROUP_PIXELS = 16_000_000


class Shelves:
    """Where pictures wait for others of their working shape, as paths, until there are enough for a group.

    No group is larger than the bounds at the top of this file allow. They are to be emptied after each page.
    """

    def __init__(self, translator: Translator, settings: Settings) -> None:
        self._translator, self._settings = translator, settings
        self._room = GROUP_WORKING_PIXELS * (1 if translator.device.type == "cpu" else ACCELERATOR_GROUPS)
        self._shelves: dict[tuple[int, int], list[tuple[Item, int]]] = {}

    def put(self, item: Item, sides: tuple[int, int] | None) -> Iterator[Group]:
        """Add a picture of this width and height, and take away the groups that are ready; one of None is alone."""
        if sides is None or not all(sides):
            yield Group((item,), 0)
            return
        pixels = sides[0] * sides[1]
        shape = self._translator.working_shape(*sides, self._settings.size)
        shelf = self._shelves.setdefault(shape, [])
        if shelf and sum(size for _, size in shelf) + pixels > GROUP_PIXELS:
            yield self._take(shape)
            shelf = self._shelves.setdefault(shape, [])
        shelf.append((item, pixels))
        if (len(shelf) + 1) * shape[0] * shape[1] > self._room or pixels > GROUP_PIXELS:
            yield self._take(shape)

    def rest(self) -> Iterator[Group]:
        """Take away what is left."""
        while self._shelves:
            yield self._take(next(iter(self._shelves)))

    def _take(self, shape: tuple[int, int]) -> Group:
        members = self._shelves.pop(shape)
        return Group(tuple(item for item, _ in members), sum(pixels for _, pixels in members))


@dataclass(frozen=True)
class Group:
    """Pictures that go through the model together, and how many pixels they have in all."""

    items: tuple[Item, ...]
    pixels: int
