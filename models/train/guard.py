"""The guard: energies that run away, and the good state that training goes back to.

Energy models of this kind blow up now and then, whatever the settings. The guard looks at every iteration and keeps the
last states that are known to be good. Each blow-up in a row leads back to an older one, and on with half the learning
rate; with good states it rises again. It gives up where all that is of no use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

State = dict[str, Tensor]

RUNAWAY = 50.0  # a gap between target and chain energies no healthy run comes near; healthy ones stay below 5
SNAPSHOT_EVERY = 50  # iterations between the good states that the guard rolls back to
KEPT = 3  # of those
MAX_ROLLBACKS = 5  # without a good state further on between them


class Guard:
    """Keeps `states`, the last ones that training has gone on well from, oldest first.

    rollbacks: the returns to them that good states since have not made up for. stuck: the returns since training has
    reached a good state beyond `newest`, the iteration of the furthest one so far.
    """

    def __init__(self, states: Sequence[State], rollbacks: int = 0, stuck: int = 0, newest: int | None = None) -> None:
        self.states, self.rollbacks, self.stuck = list(states), rollbacks, stuck
        self.newest = int(self.good["iteration"]) if newest is None else newest
        self._candidate: State | None = None

    @property
    def counts(self) -> dict[str, int]:
        """What, beside the states, makes another guard like this one."""
        return {"rollbacks": self.rollbacks, "stuck": self.stuck, "newest": self.newest}

    @property
    def good(self) -> State:
        """The state to go back to."""
        return self.states[-1]

    @property
    def caution(self) -> float:
        """What the learning rate is to be multiplied by: half for each return."""
        return 0.5**self.rollbacks

    def look(self, iteration: int, state: Callable[[], State]) -> None:
        """Before an iteration: take a snapshot where one is due."""
        # Whether this state is a good one shows only when an iteration has gone well from here.
        due = iteration % SNAPSHOT_EVERY == 0 and iteration > int(self.good["iteration"])
        self._candidate = state() if due else None

    def judge(self, iteration: int, target_energy: float, chain_energy: float, change: float) -> bool:
        """After an iteration: whether it went well; if so, the snapshot before it becomes a good state."""
        gap = abs(target_energy - chain_energy)
        if not math.isfinite(gap + change) or gap > RUNAWAY:
            self.rollbacks += 1
            self.stuck += 1
            # A state that blow-ups follow again and again may be past saving itself.
            if self.rollbacks > 1 and len(self.states) > 1:
                self.states.pop()
            return False
        if self._candidate is not None:
            self.states = [*self.states, self._candidate][-KEPT:]
            self.rollbacks = max(0, self.rollbacks - 1)
            # Going over the same ground again is no progress: two states could take turns for ever.
            if iteration > self.newest:
                self.newest, self.stuck = iteration, 0
        return True

    @property
    def exhausted(self) -> bool:
        """Whether going back once more is of no use."""
        return self.stuck > MAX_ROLLBACKS
