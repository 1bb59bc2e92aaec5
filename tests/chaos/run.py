"""One run, from an empty database to the verdict on every document."""

import random
import time
from collections import Counter
from pathlib import Path

import psycopg
from psycopg import sql

from orchestrator import checks
from orchestrator.embedded import stack as embedded
from orchestrator.embedded.workforce import Workforce
from reembed.database import connection, ledger, validations
from reembed.database.table import Storage
from reembed.embedding import bisection
from tests import installation
from tests.chaos import faults, oracle, schedule
from tests.chaos.application import POISON, Text, Writer
from tests.chaos.operating import Operator, look
from tests.chaos.report import Report
from tests.chaos.sampler import Sampler
from tests.chaos.scene import Scene
from tests.installation import Installation

DOCUMENTS = 20_000
WORKERS = 4
WRITERS = 2

_CONCURRENCY = 2
_BATCH = 25
_CHUNK = 200
_JOBS = 20
_LEASE_SECONDS = 6
# Of the whole time, for the backfill if nothing went wrong
_BACKFILL_SHARE = 0.1
# Seconds in which it has to come to rest after the last fault
_REST_SECONDS = 180


def run(
    seconds: float,
    seed: int,
    logs: Path,
    *,
    documents: int = DOCUMENTS,
    per_second: float = 10.0,
    by_jobs: bool = False,
    storage: Storage = "column",
) -> Report:
    """`seconds` are those in which things go wrong; loading, coming to rest and looking come on top.

    With `by_jobs` the backfill goes to the provider's Batch API. `storage` is where the new vectors live.
    """
    say = _Say()
    with embedded.running() as stack:
        made = _installation(stack, logs, seconds, documents, by_jobs=by_jobs, storage=storage)
        texts = _load(made, documents)
        say(f"{documents:,} documents loaded")
        with made.processes(workers=WORKERS) as workforce:
            scene = _scene(made, workforce, seconds, documents, by_jobs=by_jobs)
            stack.provider.set_latency(scene.latency_ms)
            stack.provider.hold_jobs(_job_seconds(seconds, documents))
            stack.provider.refuse(POISON)
            assert made.reembed("start").code == 0
            return _under_fire(scene, texts, seconds, seed, per_second, say)


def _under_fire(
    scene: Scene,
    texts: dict[int, Text],
    seconds: float,
    seed: int,
    per_second: float,
    say: "_Say",
) -> Report:
    made = scene.installation
    chance = random.Random(seed)  # noqa: S311
    writers = [
        Writer(
            made.url,
            number,
            {key: text for position, (key, text) in enumerate(texts.items()) if position % WRITERS == number},
            per_second / WRITERS,
            random.Random(chance.random()),  # noqa: S311
        )
        for number in range(WRITERS)
    ]
    operator, sampler = Operator(made, seconds), Sampler(made.url)
    for thread in (*writers, operator, sampler):
        thread.start()
    counted: Counter[str] = Counter()
    in_flight = 0
    began = time.monotonic()
    for event in schedule.draw(seed, seconds):
        time.sleep(max(0.0, began + event.at - time.monotonic()))
        say(event.kind)
        in_flight += faults.bring_about(scene, event)
        counted[event.kind] += 1
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    say("no more faults")
    scene.mend()
    for writer in writers:
        writer.ask_to_stop()
        writer.join()
    operator.ask_to_stop()
    operator.join()
    unsettled = _come_to_rest(made, operator)
    say(f"at rest: {unsettled or 'yes'}")
    sampler.ask_to_stop()
    sampler.join()
    memories = [writer.memory for writer in writers]
    new_model = (installation.NEW_MODEL, installation.NEW_DIMENSIONS)
    with made.connect() as database:
        new = oracle.check(database, memories, "embedding_v2", *new_model)
        old = oracle.check(
            database, memories, "embedding", installation.OLD_MODEL, installation.OLD_DIMENSIONS
        )
        embedded_texts, repeated = _spent(made, database)
        cleaned = oracle.Findings()
        if unsettled is None:
            assert operator.type("cleanup", "--yes") == 0
            cleaned = oracle.check(database, memories, "embedding", *new_model)
    return Report(
        seed=seed,
        seconds=seconds,
        workers=WORKERS,
        faults=counted,
        typed=operator.typed,
        states=operator.states,
        memories=memories,
        new=new,
        old=old,
        cleaned=cleaned,
        embedded=embedded_texts,
        repeated=repeated,
        in_flight=in_flight,
        longest_idle=sampler.longest,
        idle_whose=sampler.whose,
        unsettled=unsettled,
    )


def _installation(
    stack: embedded.Stack, logs: Path, seconds: float, documents: int, *, by_jobs: bool, storage: Storage
) -> Installation:
    stack.postgres.create_database("chaos")
    with psycopg.connect(stack.postgres.url("chaos"), autocommit=True) as database:
        database.execute("CREATE EXTENSION vector")
        # What the application was told is kept must be kept, also through a crash
        database.execute("ALTER SYSTEM SET synchronous_commit = on")
        database.execute("SELECT pg_reload_conf()")
    latency_seconds = _latency_ms(seconds, documents) / 1_000
    return Installation(
        stack,
        "chaos",
        0,
        logs,
        {
            "OLD_EMBED_MODEL": installation.OLD_MODEL,
            "STORAGE": storage,
            "CHUNK_SIZE": str(_CHUNK),
            "PROVIDER_MODE": "batch" if by_jobs else "direct",
            "PROVIDER_JOBS": str(_JOBS),
            "PROVIDER_JOB_LOOK_SECONDS": "1",
            "EMBED_BATCH_SIZE": str(_BATCH),
            "EMBED_CONCURRENCY": str(_CONCURRENCY),
            "PROVIDER_TIMEOUT_SECONDS": str(2 * latency_seconds + 3),
            "PROVIDER_PATIENCE_SECONDS": "10",
            "CHUNK_LEASE_SECONDS": str(_LEASE_SECONDS),
            "CATCH_UP_EVERY_SECONDS": "2",
            "RERUN_FAILED_EVERY_SECONDS": "3",
            # Hashed models of few dimensions agree less than trained ones do
            "VALIDATION_OVERLAP_FLOOR": "0.01",
        },
    )


def _latency_ms(seconds: float, documents: int) -> int:
    """So that the backfill takes its share of the time."""
    requests = documents / _BATCH
    return int(1_000 * _BACKFILL_SHARE * seconds * WORKERS * _CONCURRENCY / requests)


def _job_seconds(seconds: float, documents: int) -> float:
    """The same for jobs."""
    return _BACKFILL_SHARE * seconds * _JOBS * _CHUNK / documents


def _load(made: Installation, documents: int) -> dict[int, Text]:
    contents = installation.texts(documents)
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), contents)
        database.execute("ALTER TABLE documents ADD COLUMN title text")
    return {7 * number: text for number, text in enumerate(contents, start=1)}


def _scene(
    made: Installation, workforce: Workforce, seconds: float, documents: int, *, by_jobs: bool
) -> Scene:
    assert workforce.control is not None
    assert workforce.beat is not None
    return Scene(
        installation=made,
        workforce=workforce,
        control=workforce.control,
        beat=workforce.beat,
        lease_seconds=_LEASE_SECONDS,
        latency_ms=_latency_ms(seconds, documents),
        batch=_BATCH,
        # A worker makes one job at a time
        in_flight=_CHUNK if by_jobs else _BATCH * _CONCURRENCY,
    )


def _come_to_rest(made: Installation, operator: Operator) -> str | None:
    """Switched, with nothing pending in either column. Returns what is missing after _REST_SECONDS."""
    deadline = time.monotonic() + _REST_SECONDS
    while time.monotonic() < deadline:
        status = look(made)
        if status is not None:
            if status.state == "ready":
                operator.switch()
            elif status.state == "switched" and status.pending == 0 and _old_pending(made) == 0:
                return None
            else:
                operator.act(status)
        time.sleep(1)
    with made.connect() as database:
        judged = validations.last(database, 1)
    return f"{look(made)}; judged: {judged['report']['faults'] if judged else 'never'}"


def _old_pending(made: Installation) -> int:
    """Documents whose old vector is still to be made; those that the provider refuses are not."""
    with made.connect() as database:
        migration = ledger.latest(database, "public", "documents")
        row = database.execute(
            sql.SQL("SELECT count(*) FROM documents d {} WHERE {}").format(
                migration.old_names["joined"], migration.old_names["pending"]
            )
        ).fetchone()
        assert row is not None
        return int(row[0])


def _spent(made: Installation, database: connection.Connection) -> tuple[int, int]:
    """Texts that were paid for, and how many of them were paid for before; what judgements and probes ask left out."""
    usage = made.stack.provider.usage()
    reports = database.execute("SELECT report FROM reembed.validations").fetchall()
    judged = sum(report["embedded_again"]["tested"] for (report,) in reports)
    embedded_texts = sum(model["texts"] for model in usage.values())
    distinct = sum(model["distinct_texts"] for model in usage.values())
    # Texts that only look whether the model answers
    harmless = sum(made.stack.provider.times_embedded(text) for text in (bisection.HARMLESS, checks.PROBE))
    return embedded_texts, max(embedded_texts - distinct - judged - harmless, 0)


class _Say:
    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {what}", flush=True)
