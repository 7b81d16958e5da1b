"""Pictures wait here, as paths, for others of their working shape: those share their forward passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from translate.folders.plan import Item
from translate.options import FileOptions
from translate.pipeline import Translator

# Bounds of what is in memory at a time. A pixel of a picture takes some 15 bytes, one of a working copy some 1000.
GROUP_WORKING_PIXELS = 90_000  # on a CPU, where larger groups gain nothing; four pictures of a 128 px model
ACCELERATOR_GROUPS = 4  # how many times more an accelerator takes
GROUP_PIXELS = 16_000_000


class ShapeBuckets:
    """Where pictures wait for others of their working shape, as paths, until there are enough for a group.

    No group is larger than the bounds at the top of this file allow. They are to be emptied after each page.
    """

    def __init__(self, translator: Translator, options: FileOptions) -> None:
        self._translator, self._options = translator, options
        self._room = GROUP_WORKING_PIXELS * (1 if translator.device.type == "cpu" else ACCELERATOR_GROUPS)
        self._buckets: dict[tuple[int, int], list[tuple[Item, int]]] = {}

    def put(self, item: Item, sides: tuple[int, int] | None) -> Iterator[Bucket]:
        """Add a picture of this width and height, and take away the groups that are ready; one of None is alone."""
        if sides is None or not all(sides):
            yield Bucket((item,), 0)
            return
        pixels = sides[0] * sides[1]
        shape = self._translator.working_shape(*sides, self._options.sampling.size)
        bucket = self._buckets.setdefault(shape, [])
        if bucket and sum(size for _, size in bucket) + pixels > GROUP_PIXELS:
            yield self._take(shape)
            bucket = self._buckets.setdefault(shape, [])
        bucket.append((item, pixels))
        if (len(bucket) + 1) * shape[0] * shape[1] > self._room or pixels > GROUP_PIXELS:
            yield self._take(shape)

    def rest(self) -> Iterator[Bucket]:
        """Take away what is left."""
        while self._buckets:
            yield self._take(next(iter(self._buckets)))

    def _take(self, shape: tuple[int, int]) -> Bucket:
        members = self._buckets.pop(shape)
        return Bucket(tuple(item for item, _ in members), sum(pixels for _, pixels in members))


@dataclass(frozen=True)
class Bucket:
    """Pictures that go through the model together, and how many pixels they have in all."""

    items: tuple[Item, ...]
    pixels: int
