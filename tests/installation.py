"""An installation as an operator has it: environment, processes, command. And the oracle of every acceptance test."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from config.settings import Settings
from orchestrator import progress
from orchestrator.command import session
from orchestrator.embedded import stack as embedded
from orchestrator.embedded.workforce import Workforce
from orchestrator.embedding_server import models
from orchestrator.prices import Prices
from reembed import errors
from reembed.database import connection

OLD_MODEL, OLD_DIMENSIONS = "lexical-words", 32
NEW_MODEL, NEW_DIMENSIONS = "lexical-ngrams", 64


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.out)
        return answer


class Installation:
    def __init__(
        self, stack: embedded.Stack, database: str, number: int, logs: Path, environment: Mapping[str, str]
    ) -> None:
        self.stack = stack
        self.logs = logs
        self.url = stack.postgres.url(database)
        redis = 2 * number
        self.environment = {
            **stack.environment(database),
            "CELERY_BROKER_URL": stack.redis.url(redis),
            "CELERY_RESULT_BACKEND": stack.redis.url(redis + 1),
            "EMBED_MODEL": NEW_MODEL,
            "EMBED_DIMENSIONS": str(NEW_DIMENSIONS),
            "CATCH_UP_EVERY_SECONDS": "1",
            "CHUNK_LEASE_SECONDS": "3",
            **environment,
        }

    def reembed(self, *arguments: str, **environment: str) -> Answer:
        """Run the command as an operator does."""
        done = subprocess.run(
            [sys.executable, "-m", "reembed", *arguments],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def begin(self, *arguments: str, **environment: str) -> "Iterator[subprocess.Popen[str]]":
        """Start the command and go on; killed at the end of the block."""
        with subprocess.Popen(
            [sys.executable, "-m", "reembed", *arguments],
            env={**os.environ, **self.environment, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def processes(self, workers: int = 1) -> Iterator[Workforce]:
        """Workers, control worker and schedule, ready."""
        with Workforce({**os.environ, **self.environment}, self.logs) as workforce:
            for _ in range(workers):
                workforce.start_worker(wait=False)
            workforce.start_control(wait=False)
            workforce.start_beat(wait=False)
            workforce.wait_until_ready()
            yield workforce

    @contextmanager
    def connect(self) -> Iterator[connection.Connection]:
        with connection.connect(self.url, "test") as database:
            yield database

    def status(self, **environment: str) -> dict[str, Any]:
        return self.reembed("status", "--json", **environment).json

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], **environment: str) -> dict[str, Any]:
        """The first status that fulfils the condition, within two minutes.

        It is what `status --json` prints, looked up here: a Python started for each look would take from the
        workers the processor that we wait for them to use.
        """
        names = {**self.environment, **environment}
        settings = Settings.model_validate({name.lower(): value for name, value in names.items()})
        deadline = time.monotonic() + 120
        while True:
            seen = self._look(settings)
            if seen is not None and condition(seen):
                return seen
            assert time.monotonic() < deadline, seen
            time.sleep(0.1)

    def _look(self, settings: Settings) -> dict[str, Any] | None:
        """None where the command would say why it has nothing to show."""
        try:
            with self.connect() as database:
                migration = session.migration_of(database, settings)
                status = progress.status(database, migration, Prices.of(settings, migration))
        except (errors.ReembedError, psycopg.Error):
            return None
        seen: dict[str, Any] = json.loads(json.dumps(status.as_json(), default=str))
        return seen


_WORDS = [
    "index",
    "vector",
    "worker",
    "queue",
    "table",
    "search",
    "model",
    "chunk",
    "lease",
    "flag",
    "ledger",
    "river",
    "mountain",
    "winter",
    "summer",
    "bread",
    "cheese",
    "violin",
    "piano",
    "engine",
    "bridge",
    "harbour",
    "castle",
    "garden",
    "forest",
    "desert",
    "island",
    "doctor",
    "lawyer",
    "painter",
    "sailor",
    "farmer",
    "teacher",
    "market",
    "school",
    "museum",
    "library",
    "theatre",
    "stadium",
    "hospital",
    "station",
    "copper",
    "silver",
    "marble",
    "cotton",
    "leather",
    "timber",
]


def texts(count: int) -> list[str]:
    """Different short texts about different things, in no order: neighbours have nothing in common."""
    chance = random.Random(count)  # noqa: S311
    return [f"{' '.join(chance.sample(_WORDS, 6))} number {number}" for number in range(count)]


def make_table(
    database: psycopg.Connection[Any],
    name: sql.Identifier,
    contents: Sequence[str | None],
    *,
    key_type: str = "bigint",
    keys: Sequence[Any] | None = None,
    columns: tuple[str, str, str] = ("id", "content", "embedding"),
    indexed: bool = True,
    old: tuple[str, int] = (OLD_MODEL, OLD_DIMENSIONS),
    partition_from: int | None = None,
) -> None:
    """A documents table with the old model's vectors, and gaps between its integer keys.

    In two partitions where `partition_from` names the first key of the second.
    """
    key, content, embedding = map(sql.Identifier, columns)
    partitioned = sql.SQL("PARTITION BY RANGE ({})").format(key) if partition_from else sql.SQL("")
    database.execute(
        sql.SQL("CREATE TABLE {} ({} {} PRIMARY KEY, {} text, {} vector({})) {}").format(
            name, key, sql.SQL(key_type), content, embedding, sql.Literal(old[1]), partitioned
        )
    )
    if partition_from:
        bounds = {
            "low": f"FROM (MINVALUE) TO ({partition_from})",
            "high": f"FROM ({partition_from}) TO (MAXVALUE)",
        }
        for part, between in bounds.items():
            database.execute(
                sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES {}").format(
                    sql.Identifier(f"{name.as_string().strip(chr(34))}_{part}"), name, sql.SQL(between)
                )
            )
    vectors = models.embed(old[0], [text or "nothing" for text in contents], old[1])
    insert = sql.SQL("INSERT INTO {} ({}, {}, {}) VALUES (%s, %s, %s)").format(name, key, content, embedding)
    with database.cursor() as cursor:
        cursor.executemany(
            insert,
            list(zip(keys or [7 * i for i in range(1, len(contents) + 1)], contents, vectors, strict=True)),
        )
    if indexed:
        database.execute(
            sql.SQL("CREATE INDEX ON {} USING hnsw ({} vector_cosine_ops)").format(name, embedding)
        )


def wrong_documents(
    database: psycopg.Connection[Any],
    name: sql.Identifier,
    *,
    model: str = NEW_MODEL,
    dimensions: int = NEW_DIMENSIONS,
    columns: tuple[str, str, str] = ("id", "content", "embedding_v2"),
) -> list[Any]:
    """The oracle: keys of documents whose stored vector is not what the model gives for their current text.

    A column that the table has not is looked for in its companion.
    """
    key, content, embedding = map(sql.Identifier, columns)
    vectors = companion_of(database, name, columns[2]) or name
    rows = database.execute(
        sql.SQL(
            "SELECT d.{0}, d.{1}, v.{2} FROM {3} d LEFT JOIN {4} v ON v.{0} = d.{0} WHERE d.{1} <> ''"
        ).format(key, content, embedding, name, vectors),
        binary=True,
    ).fetchall()
    expected = models.embed(model, [row[1] for row in rows], dimensions)
    return [
        row[0]
        for row, vector in zip(rows, expected, strict=True)
        if row[2] is None or not _equal(np.asarray(row[2]), vector)
    ]


def companion_of(
    database: psycopg.Connection[Any], name: sql.Identifier, new: str = "embedding_v2"
) -> sql.Identifier | None:
    """The table that the column `new` of a migrated table stands in; None: in the table itself."""
    ((in_table,),) = database.execute(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped",
        [name.as_string(), new],
    ).fetchall()
    if in_table:
        return None
    ((schema, companion),) = database.execute(
        "SELECT m.schema_name, m.companion FROM reembed.migrations m"
        " WHERE to_regclass(format('%%I.%%I', m.schema_name, m.table_name)) = to_regclass(%s)"
        " ORDER BY m.id DESC LIMIT 1",
        [name.as_string()],
    ).fetchall()
    return sql.Identifier(schema, companion)


def _equal(stored: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    return stored.shape == expected.shape and bool(np.allclose(stored, expected, atol=1e-6))
