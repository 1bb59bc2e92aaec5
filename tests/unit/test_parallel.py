"""Tests in several processes: what starts first, and the end of what nobody ended."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import parallel, together

TESTS = Path(parallel.__file__).parent


@pytest.mark.parametrize("name", parallel.SECONDS)
def test_the_files_that_start_first_exist(name: str) -> None:
    assert (TESTS / name).exists()


def test_the_files_that_start_first_are_listed_by_their_length() -> None:
    assert list(parallel.SECONDS.values()) == sorted(parallel.SECONDS.values(), reverse=True)


def test_every_file_of_tests_is_in_exactly_one_room() -> None:
    in_rooms = [
        file
        for room in together.rooms()
        for path in room
        for file in (path.rglob("test_*.py") if path.is_dir() else [path])
    ]
    assert sorted(in_rooms) == sorted(TESTS.rglob("test_*.py"))


def test_no_room_of_acceptance_tests_alone_takes_longer_than_another_by_a_short_file() -> None:
    acceptance = [room for room in together.rooms() if not room[0].is_dir()]
    one, other = (sum(map(parallel.seconds, room)) for room in acceptance)
    assert abs(one - other) <= 20


def test_the_longest_file_starts_first_and_those_without_io_come_last() -> None:
    files = [
        TESTS / "unit/test_errors.py",
        TESTS / "integration/test_quota.py",
        TESTS / next(iter(parallel.SECONDS)),
    ]
    assert sorted(files, key=parallel.place) == files[::-1]


def test_what_a_run_left_is_ended_and_named_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    with (
        subprocess.Popen(sleep, stdout=subprocess.PIPE) as anothers,
        monkeypatch.context() as context,
    ):
        context.setenv("REEMBED_TEST_RUN", "before")
        parallel.mark()
        with subprocess.Popen(sleep, stdout=subprocess.PIPE) as left:
            for child in (anothers, left):
                assert child.stdout
                # It runs Python by now, with the environment that it was given
                child.stdout.readline()
            name = Path(f"/proc/{left.pid}/comm").read_text().strip()
            assert parallel.end_the_rest() == [name]
            assert left.wait(10) == -signal.SIGKILL
        assert anothers.poll() is None
        anothers.kill()
