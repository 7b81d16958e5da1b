"""The guard: energies that run away, and the good state that training goes back to.

Energy models of this kind blow up now and then, whatever the settings. The guard looks at every iteration, keeps a
state that is known to be good, and gives up where the same state leads to a blow-up again and again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

State = dict[str, Tensor]

RUNAWAY = 50.0  # a gap between target and chain energies no healthy run comes near; healthy ones stay below 5
SNAPSHOT_EVERY = 50  # iterations between the good states that the guard rolls back to
MAX_ROLLBACKS = 5  # in a row, without a new good state between them


class Diverged(ArithmeticError):
    """Training blew up again and again from the same good state; the message is one plain sentence."""


class Guard:
    """Keeps `good`, the last state that training has gone on well from; `rollbacks` counts the returns to it."""

    def __init__(self, good: State, rollbacks: int = 0) -> None:
        self.good, self.rollbacks = good, rollbacks
        self._candidate: State | None = None

    def look(self, iteration: int, state: Callable[[], State]) -> None:
        """Before an iteration: take a snapshot where one is due."""
        # Whether this state is a good one shows only when an iteration has gone well from here.
        due = iteration % SNAPSHOT_EVERY == 0 and self.rollbacks == 0
        self._candidate = state() if due else None

    def judge(self, iteration: int, target_energy: float, chain_energy: float, change: float) -> bool:
        """After an iteration: whether it went well; if so, the snapshot before it becomes the good state."""
        gap = abs(target_energy - chain_energy)
        if not math.isfinite(gap + change) or gap > RUNAWAY:
            self.rollbacks += 1
            return False
        self.good = self._candidate or self.good
        if (iteration + 1) % SNAPSHOT_EVERY == 0:
            self.rollbacks = 0
        return True

    @property
    def exhausted(self) -> bool:
        """Whether going back once more is of no use."""
        return self.rollbacks > MAX_ROLLBACKS
