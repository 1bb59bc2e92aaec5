"""Tests in several processes: what starts first, and the end of what nobody ended."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import parallel

TESTS = Path(parallel.__file__).parent


@pytest.mark.parametrize("name", parallel.LONGEST)
def test_the_files_that_start_first_exist(name: str) -> None:
    assert (TESTS / name).exists()


def test_the_longest_file_starts_first_and_those_without_io_come_last() -> None:
    files = [TESTS / "unit/test_errors.py", TESTS / "integration/test_quota.py", TESTS / parallel.LONGEST[0]]
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
