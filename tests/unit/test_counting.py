"""How often a table is counted for whoever watches."""

import pytest

from orchestrator.counting import Counting
from orchestrator.progress import Status
from reembed.database.ledger import Migration


class Watched:
    """A migration that is looked at each half second, by a clock that only looks and waiting move."""

    def __init__(self, state: str, count_seconds: float, every_seconds: float = 0.0) -> None:
        self.state = state
        self.now = 1_000.0
        self.counts = 0
        self._count_seconds = count_seconds
        self._counting = Counting(every_seconds, clock=lambda: self.now)

    def look(self) -> Status:
        migration = object.__new__(Migration)
        object.__setattr__(migration, "id", 1)
        object.__setattr__(migration, "state", self.state)
        return self._counting.status(migration, self._count)

    def watch(self, seconds: float) -> list[int]:
        """What was shown, by the number of the count that it is from."""
        end = self.now + seconds
        shown = []
        while self.now < end:
            shown.append(self.look().pending)
            self.now += 0.5
        return shown

    def _count(self) -> Status:
        self.now += self._count_seconds
        self.counts += 1
        status = object.__new__(Status)
        object.__setattr__(status, "pending", self.counts)
        return status


@pytest.mark.parametrize(
    ("count_seconds", "every_seconds", "counts"),
    # An hour: a count of a second takes a tenth of it, a minute's is waited out ten times, a short one costs nothing
    [(1.0, 0.0, 360), (60.0, 0.0, 6), (0.0, 0.0, 7_200), (0.0, 60.0, 60), (60.0, 60.0, 6)],
)
def test_watching_counts_a_tenth_of_the_time_at_most_and_shows_the_last_count_meanwhile(
    count_seconds: float, every_seconds: float, counts: int
) -> None:
    watched = Watched("ready", count_seconds, every_seconds)
    shown = watched.watch(3_600)
    assert watched.counts == pytest.approx(counts, abs=1)
    assert shown == sorted(shown)
    assert watched.counts * count_seconds <= 0.1 * (watched.now - 1_000) + count_seconds


def test_a_change_of_state_is_looked_at_anew_however_long_the_last_count_took() -> None:
    watched = Watched("validating", 600)
    assert watched.watch(610) == [1] * 20
    watched.state = "ready"
    assert watched.look().pending == 2
    assert watched.look().pending == 2


def test_during_the_backfill_every_look_is_a_new_one() -> None:
    watched = Watched("backfilling", 1.0)
    assert watched.watch(3) == [1, 2]
