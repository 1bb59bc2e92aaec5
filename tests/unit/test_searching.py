"""What a search does beside searching: remember the flag, count, sample, and let go of what is too much."""

import os
import random
import threading
from dataclasses import replace
from typing import Any

import pytest

from reembed.database import flags, searches
from reembed.retrieval import background, cache, rankings, shadow
from reembed.retrieval.background import Background
from reembed.retrieval.cache import FlagCache
from reembed.retrieval.composing import Question, Reading
from reembed.retrieval.counting import Tally
from reembed.retrieval.program import Answer, Hit

READING = Reading("public", "documents", 0, None, None, (0, 8))


def test_the_flag_is_remembered_for_a_second_from_the_moment_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    remembered = FlagCache()
    asked = remembered.ask()
    now[0] += 0.9
    remembered.put(asked, READING)
    assert remembered.get() == READING
    now[0] += 0.1
    assert remembered.get() is None
    assert cache.BOUND_SECONDS == 1.0


def test_what_was_asked_before_the_flag_changed_is_not_remembered() -> None:
    remembered = FlagCache()
    asked = remembered.ask()
    remembered.forget()
    remembered.put(asked, READING)
    assert remembered.get() is None


def test_an_answer_that_comes_late_does_not_replace_a_later_one() -> None:
    remembered = FlagCache()
    early = remembered.ask()
    later = (early[0], early[1] + 0.1)
    remembered.put(later, READING)
    remembered.put(early, Reading("other", "documents", 0, None, None, ()))
    kept = remembered._kept
    assert kept is not None
    assert kept[0] == READING


def test_no_count_is_lost_between_threads() -> None:
    tally = Tally()

    def count() -> None:
        for _ in range(2_000):
            tally.add(1, "new", 0.001)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (((migration, side, bound), (counted, seconds)),) = tally.take().items()
    assert (migration, side, bound, counted) == (1, "new", 1.0, 8_000)
    assert seconds == pytest.approx(8.0)
    assert tally.take() == {}


@pytest.mark.parametrize("ms", [0.0001, 0.125, 0.3, 1, 3, 47, 1_000, 9e9])
def test_a_duration_is_in_a_class_that_bounds_it_closely(ms: float) -> None:
    bound = searches.duration_class(ms / 1_000)
    clamped = min(max(ms, 0.125), 65_536)
    assert clamped * (1 - 1e-9) <= bound <= clamped * 1.42


def test_the_report_of_a_side_has_its_mean_and_its_95th_percentile() -> None:
    rows = [
        {"milliseconds": 1.0, "searches": 94, "seconds": 0.094},
        {"milliseconds": 8.0, "searches": 6, "seconds": 0.048},
    ]
    assert searches.SideReport.of(rows) == searches.SideReport(100, 1.42, 8.0)
    assert searches.SideReport.of([]) == searches.SideReport(0, None, None)


def test_the_shadows_interval_is_that_of_a_mean() -> None:
    row = {"k": 10, "searches": 100, "overlap": 50.0, "overlap_squares": 50.0}
    assert searches.ShadowReport.of(row) == searches.ShadowReport(100, 10, 0.5, (0.4015, 0.5985))
    assert searches.ShadowReport.of(row | {"searches": 29, "overlap": 29.0}).overlap_ci95 is None


def answer(ids: list[int], *, is_new: bool) -> Answer:
    side = flags.Side("embedding", "vector", 3, None)
    flag = flags.Flag("ready", 0, "cosine", side, side, migration=1)
    return Answer([Hit(number, "", 0.0) for number in ids], replace(READING, flag=flag), is_new, 0.0)


def test_the_shadow_counts_overlap_as_the_judgement_does() -> None:
    chance = random.Random(1)  # noqa: S311
    for _ in range(200):
        one, other = (chance.sample(range(30), chance.randint(0, 20)) for _ in range(2))
        k = chance.randint(1, 15)
        job = shadow.Job(Question("words", k), answer(one, is_new=False))
        assert job.overlap(answer(other, is_new=True)) == rankings.overlap_at_k(one, other, k)
    for k in (0, -1):
        job = shadow.Job(Question("words", k), answer([], is_new=False))
        assert job.overlap(answer([], is_new=True)) is None


class Idle(Background):
    """One whose thread never runs."""

    def _run(self) -> None:
        started.append(os.getpid())


started: list[int] = []


def idle() -> Idle:
    started.clear()
    return Idle("", FlagCache(), Tally(), lambda connection, job: None)


def test_what_does_not_fit_into_the_shadows_queue_is_dropped() -> None:
    beside = idle()
    beside.ensure()
    job = shadow.Job(Question("words", 10), Answer([], READING, False, 0.0))
    assert [beside.offer(job) for _ in range(background.LONGEST_QUEUE + 1)] == [
        True
    ] * background.LONGEST_QUEUE + [False]
    beside.close()


def test_a_thread_is_started_once_and_again_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = idle()
    beside.ensure()
    beside.ensure()
    assert len(started) == 1
    own: Any = os.getpid()
    monkeypatch.setattr("os.getpid", lambda: own + 1)
    beside.ensure()
    assert len(started) == 2
    beside.close()
