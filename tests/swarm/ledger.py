"""What each client wrote, and what the databases may therefore hold."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.swarm.wire import Answer, Cut
from tests.swarm.world import Fields

#: Seconds after which a request whose client left has ended: more than any limit of the service.
SETTLES_AFTER = 15.0


@dataclass
class Entry:
    """A row, known by a key of the client's choice: a product's SKU, a category's name."""

    key: str
    #: What may be in the database; None where the row may be missing. One, once a write is acknowledged,
    #: and more after a write whose answer was lost.
    states: set[Fields | None] = field(default_factory=lambda: {None})
    id: str = ""  # the server's; unknown when the answer to its making was lost
    lost_at: float = 0.0
    #: What was there before the lost write, to say later whether it took place.
    before: Fields | None = None
    #: What was asked of it and answered, for whoever has to explain it.
    history: list[str] = field(default_factory=list, compare=False)

    @property
    def is_certain(self) -> bool:
        """Whether its state is known. Nothing is written to it as long as it is not: a lost request may
        still be on its way, and come after the next."""
        return len(self.states) == 1

    @property
    def fields(self) -> Fields | None:
        (state,) = self.states
        return state

    def write(self, new: Fields | None, answer: Answer) -> None:
        """Note a write to this row by its answer."""
        kind = "delete" if new is None else "write"
        self.history.append(f"{time.monotonic():.2f} {kind}: {answer.status}, {answer.cut}")
        if answer.cut is Cut.HALF_BODY or 400 <= answer.status < 500 or answer.status == 503:
            return  # refused: nothing may have changed
        if answer.cut is None and 200 <= answer.status < 300:
            self.states = {new}
            return
        self.before = self.fields
        self.states = {self.before, new}
        self.lost_at = time.monotonic()

    def settle(self, found: Fields | None) -> bool:
        """Whether a write whose answer was lost took place, now that the row was read."""
        self.history.append(f"{time.monotonic():.2f} settled: {found is not None}")
        self.states = {found}
        return found != self.before


class Ledger:
    """One client's rows of one kind in one tenant."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def add(self, key: str) -> Entry:
        return self._entries.setdefault(key, Entry(key))

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def certain(self) -> list[Entry]:
        """Rows that are there and may be written to."""
        return [entry for entry in self if entry.is_certain]

    def unsettled(self) -> Entry | None:
        """A row whose lost write has had its time."""
        now = time.monotonic()
        return next(
            (entry for entry in self if not entry.is_certain and now - entry.lost_at > SETTLES_AFTER), None
        )

    def forget_gone(self, entry: Entry) -> None:
        """A row that is certainly not there needs no entry: were it found, it would be an unknown one."""
        if entry.states == {None}:
            self._entries.pop(entry.key, None)


@dataclass
class Tally:
    """How often a shared counter was raised: surely, and perhaps."""

    sure: Counter[str] = field(default_factory=Counter)
    perhaps: Counter[str] = field(default_factory=Counter)

    def raised(self, key: str, answer: Answer) -> None:
        if answer.cut is None and answer.status == 200:
            self.sure[key] += 1
        elif answer.cut in (Cut.UNANSWERED, Cut.HALF_ANSWER) or answer.status >= 500:
            self.perhaps[key] += 1


def total(tallies: Iterable[Tally]) -> Tally:
    result = Tally()
    for tally in tallies:
        result.sure.update(tally.sure)
        result.perhaps.update(tally.perhaps)
    return result
