"""Waiting in line: one at a time, in order of arrival, and only so many may wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Busy(RuntimeError):
    """The line is full; the message is one plain sentence."""


class FifoQueue:
    """A bounded first-come-first-served line in front of something that only one may use."""

    def __init__(self, waiting: int) -> None:
        """waiting: how many may stand behind the one whose turn it is."""
        self.waiting = waiting
        self._tickets: deque[Ticket] = deque()
        self._moved = Condition()

    @contextmanager
    def enter(self, *, bypass_limit: bool = False) -> Iterator[Ticket]:
        """Stand in line, and leave it at the end of the block, whether or not one's turn has come.

        bypass_limit: stand there even if the line is full, for those who were in it a moment ago. Raises Busy.
        """
        ticket = Ticket(self)
        with self._moved:
            if len(self._tickets) > self.waiting and not bypass_limit:
                raise Busy("Many people are here right now. Please try again in a minute.")
            self._tickets.append(ticket)
        try:
            yield ticket
        finally:
            with self._moved:
                self._tickets.remove(ticket)
                self._moved.notify_all()


class Ticket:
    """A place in the line."""

    def __init__(self, queue: FifoQueue) -> None:
        self._queue = queue

    def ahead(self, seconds: float = 0.0) -> int:
        """How many are still ahead; 0 when it is one's turn, for which this waits up to `seconds`."""
        with self._queue._moved:
            self._queue._moved.wait_for(lambda: self._queue._tickets[0] is self, seconds)
            return self._queue._tickets.index(self)
