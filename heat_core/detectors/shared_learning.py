"""What several detectors learn alike is learned once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor

from heat_core.energies import Energy
from heat_core.training.trainer import OnRecord, Record


@dataclass(frozen=True, eq=False)
class Learned:
    """An E_theta as it was learned.

    Args:
        state: its weights, as `state_dict` gives them.
        history: the records of its training, in order.
    """

    state: dict[str, Tensor]
    history: tuple[Record, ...]

    def give_to(self, e_theta: Energy, energy: Energy, on_record: OnRecord) -> None:
        """Gives the weights to another E_theta of the same build, and the records to a callback.

        Args:
            e_theta: takes the weights.
            energy: that it is a part of.
            on_record: hears every record, as if that were trained.
        """
        e_theta.load_state_dict(self.state)
        for record in self.history:
            on_record(record, energy)


class SharedLearning:
    """What was learned so far, by all that decides it: learner, seed and training features."""

    def __init__(self) -> None:
        self._learned: dict[Hashable, Learned] = {}

    def find(self, key: Hashable) -> Learned | None:
        """Returns what was learned, if it was."""
        return self._learned.get(key)

    def keep(self, key: Hashable, learned: Learned) -> None:
        """Keeps what was learned."""
        self._learned[key] = learned


# of the block that `learn_once` opened in this thread; every thread begins with none
_shared: ContextVar[SharedLearning | None] = ContextVar("shared_learning", default=None)


@contextmanager
def learn_once() -> Iterator[None]:
    """Lets detectors within a block share an E_theta that they learn alike.

    HEAT, HEAT-GMM and HEAT-EL that learn from pseudo-OOD differ by their priors, which E_theta does
    not see there: the first to be fitted trains it, and the scores are those of fitting each alone.
    All of the block is fitted to one pack.

    >>> with learn_once():
    ...     shared_learning() is None
    False
    >>> shared_learning() is None
    True
    """
    token = _shared.set(SharedLearning())
    try:
        yield
    finally:
        _shared.reset(token)


def shared_learning() -> SharedLearning | None:
    """Returns what is shared in the block of `learn_once`; None outside of one."""
    return _shared.get()
