"""The latest thing of each visitor: a translation's steps, a style of one's own. Nobody else gets it."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    @property
    def bytes(self) -> int:
        """Memory that it takes, or will take."""


S = TypeVar("S", bound=Sized)


class VisitorCache(Generic[S]):
    """One thing for each visitor; the oldest go when there is no more room."""

    def __init__(self, room: int) -> None:
        """room: bytes that all things together may take."""
        self.room = room
        self._cache: OrderedDict[str, S] = OrderedDict()
        self._lock = Lock()

    def put(self, visitor: str, thing: S) -> None:
        with self._lock:
            self._cache.pop(visitor, None)
            self._cache[visitor] = thing
            while len(self._cache) > 1 and sum(thing.bytes for thing in self._cache.values()) > self.room:
                self._cache.popitem(last=False)

    def take(self, visitor: str) -> S | None:
        """The visitor's own, which now counts as the newest; None where there is none or no more."""
        with self._lock:
            thing = self._cache.get(visitor)
            if thing is not None:
                self._cache.move_to_end(visitor)
            return thing

    def drop(self, visitor: str) -> None:
        with self._lock:
            self._cache.pop(visitor, None)
