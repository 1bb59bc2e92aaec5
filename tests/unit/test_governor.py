"""When the governor holds a worker, when it lets it go, and what it says."""

from typing import Any
from unittest.mock import MagicMock

import pytest

from reembed.database import queries
from workers import governor
from workers.governor import Governor, Lag, Load


@pytest.mark.parametrize(
    ("load", "limits", "held", "reason"),
    [
        (Load(99, 99, 99), Load(), False, None),
        (Load(10, 10, 10), Load(10, 10, 10), False, None),
        (
            Load(replication_lag_seconds=10.6),
            Load(replication_lag_seconds=10),
            False,
            "the database: a standby is 11 s behind, over GOVERN_REPLICATION_LAG_SECONDS=10",
        ),
        (
            Load(active_sessions=11),
            Load(active_sessions=10),
            False,
            "the database: 11 sessions of others are at work, over GOVERN_ACTIVE_SESSIONS=10",
        ),
        (
            Load(write_milliseconds=250.4),
            Load(write_milliseconds=250),
            False,
            "the database: writing a batch takes 250 ms, over GOVERN_WRITE_MILLISECONDS=250",
        ),
        # It does not flap: who is held waits for four fifths
        (Load(active_sessions=8), Load(active_sessions=10), True, None),
        (
            Load(active_sessions=9),
            Load(active_sessions=10),
            True,
            "the database: 9 sessions of others are at work, over GOVERN_ACTIVE_SESSIONS=10",
        ),
    ],
)
def test_a_threshold_that_is_exceeded_is_named(
    load: Load, limits: Load, held: bool, reason: str | None
) -> None:
    assert governor.over(load, limits, held=held) == reason


def test_a_standby_that_replays_nothing_falls_behind_by_the_clock() -> None:
    lag = Lag()
    assert lag.seconds(written=100, replayed=100, measured=None, now=0) == 0
    assert lag.seconds(written=200, replayed=100, measured=None, now=3) == 0
    assert lag.seconds(written=200, replayed=150, measured=0.2, now=10) == 7
    assert lag.seconds(written=300, replayed=150, measured=0.2, now=20) == 17
    # It has come to where the server was, and counts from there
    assert lag.seconds(written=300, replayed=200, measured=None, now=21) == 0
    assert lag.seconds(written=300, replayed=299, measured=4.0, now=22) == 4.0


def test_a_server_without_standbys_has_no_lag() -> None:
    lag = Lag()
    lag.seconds(written=200, replayed=100, measured=None, now=0)
    assert lag.seconds(written=200, replayed=None, measured=None, now=99) == 0
    assert lag.seconds(written=200, replayed=100, measured=None, now=100) == 0


class Server:
    """What a look finds, a clock, and how often somebody looked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **limits: Any) -> None:
        self.now = 100.0
        self.active_sessions = 0
        self.looks = 0
        monkeypatch.setattr(queries, "one", self._look)
        self.governor = Governor(Load(**limits), clock=lambda: self.now)

    def _look(self, *_: object) -> dict[str, Any]:
        self.looks += 1
        return {"written": 0, "replayed": None, "measured": None, "active_sessions": self.active_sessions}

    def held(self, after: float = 0.0) -> bool:
        self.now += after
        return self.governor.hold(MagicMock()) is not None

    def write(self, seconds: float) -> None:
        self.now += seconds
        self.governor.wrote(seconds)


def test_without_a_threshold_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    server.write(60)
    assert not server.held()
    assert server.looks == 0


def test_a_worker_looks_every_few_seconds_however_often_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, active_sessions=5)
    for _ in range(100):
        server.held(after=0.1)
    assert 3 <= server.looks <= 5


def test_it_holds_until_the_sessions_of_others_are_well_below_the_threshold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(monkeypatch, active_sessions=10)
    answers = []
    for sessions in (10, 11, 10, 9, 8, 10, 11):
        server.active_sessions = sessions
        answers.append(server.held(after=4))
    assert answers == [False, True, True, True, False, False, True]


def test_one_slow_write_among_fast_ones_holds_nobody_and_a_slow_database_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(monkeypatch, write_milliseconds=100)
    for _ in range(20):
        server.write(0.02)
    server.write(0.3)
    assert not server.held()
    for _ in range(5):
        server.write(0.3)
    assert server.held()


def test_while_writing_is_slow_one_batch_every_few_seconds_tries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, write_milliseconds=100)
    server.write(1.0)
    assert [server.held(after=1) for _ in range(12)] == [True] * 5 + [False] + [True] * 4 + [False, True]


def test_a_batch_that_is_fast_again_ends_the_pause_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, write_milliseconds=100)
    server.write(1.0)
    assert server.held()
    # What was in flight when the pause began
    server.write(0.9)
    assert server.held()
    assert not server.held(after=6)
    # Under the threshold, and not under four fifths of it
    server.write(0.09)
    assert server.held()
    assert not server.held(after=6)
    server.write(0.07)
    assert [server.held() for _ in range(3)] == [False] * 3


def test_nothing_is_tried_while_others_need_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, write_milliseconds=100, active_sessions=10)
    server.active_sessions = 20
    server.write(1.0)
    assert all(server.held(after=2) for _ in range(10))
