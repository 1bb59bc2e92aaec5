"""What must not be seen: a run with a marked key, a marked password and marked texts, then a search for the marks in
whatever reembed shows or leaves behind.
"""

import base64
import json
import re
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from psycopg import conninfo, sql

from tests import collecting, flower, installation, waiting
from tests.installation import Installation

TEXT = "zanzibar"
DATABASE_PASSWORD = "mauritius"
REDIS_PASSWORD = "madagascar"
FLOWER_PASSWORD = "seychelles"
# The old provider does not take it, and says so
OLD_KEY = "sk-comoros"
TEXTS = [f"{TEXT} {text}" for text in installation.texts(60)]
# A document that the database refuses; the provider refuses the first text
FORBIDDEN = 14


@pytest.fixture
def made(new_installation: Callable[..., Installation]) -> Iterator[Installation]:
    """With a password, or a key, wherever there can be one."""
    made = new_installation(
        CHUNK_SIZE="20", EMBED_BATCH_SIZE="5", LOG_FORMAT="json", MAX_CHUNK_ATTEMPTS="2",
        OLD_EMBED_MODEL=installation.OLD_MODEL, OLD_EMBED_DIMENSIONS=str(installation.OLD_DIMENSIONS),
        OLD_OPENAI_API_KEY=OLD_KEY,
    )  # fmt: skip
    made.environment["OLD_OPENAI_BASE_URL"] = made.environment["OPENAI_BASE_URL"]
    # The server trusts everybody and does not look at it
    made.environment["DATABASE_URL"] = conninfo.make_conninfo(made.url, password=DATABASE_PASSWORD)
    with redis.Redis.from_url(made.stack.redis.url()) as client:
        client.acl_setuser("ops", enabled=True, passwords=[f"+{REDIS_PASSWORD}"], keys=["*"], channels=["*"],
                           categories=["+@all"])  # fmt: skip
        for variable in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
            made.environment[variable] = made.environment[variable].replace(
                "redis://", f"redis://ops:{REDIS_PASSWORD}@"
            )
        yield made
        client.acl_deluser("ops")


def test_no_key_no_password_and_no_text_is_seen_anywhere(made: Installation, tmp_path: Path) -> None:
    marks = {
        "text": TEXT,
        "password of the database": DATABASE_PASSWORD,
        "password of Redis": REDIS_PASSWORD,
        "password of Flower": FLOWER_PASSWORD,
        "key": made.environment["OPENAI_API_KEY"],
        "old key": OLD_KEY,
    }
    provider = made.stack.provider
    servers_log = made.stack.postgres.log
    logged_before = servers_log.stat().st_size
    seen: dict[str, str] = {}
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), TEXTS, indexed=False)
    provider.refuse(TEXTS[0])
    try:
        seen |= commands(made, "doctor", "plan", "-v start")
        with made.connect() as database:
            # PostgreSQL's own words would quote the row
            database.execute(
                sql.SQL("ALTER TABLE documents ADD CHECK (id <> {} OR embedding_v2 IS NULL)").format(
                    FORBIDDEN
                )
            )
        seen |= {f"broker before the workers: {name}": text for name, text in kept_in_redis(made)}
        with (
            collecting.spans() as collector,
            traced(made, collector).processes(workers=2),
            flower.beside(made, f"ops:{FLOWER_PASSWORD}") as watched,
            told_to_prometheus(made) as metrics,
        ):
            made.wait_for(lambda status: status["state"] in ("ready", "needs_review"))
            # A fault that nobody foresaw, and one that stops everything
            with made.connect() as database:
                database.execute("UPDATE documents SET content = content || ' anew' WHERE id > 300")
                provider.fail(401, seconds=600)
                waiting.until(lambda: watched.tasks("state=FAILURE"), seconds=60)
            seen |= {f"argv of {pid}": argv for pid, argv in arguments()}
            seen |= dict(ledger(made))
            seen["Flower"] = json.dumps(watched.tasks())
            seen["metrics"] = metrics()
            seen |= commands(made, "status --json")
            provider.recover()
            seen |= commands(made, "-v retry")
            made.wait_for(lambda status: status["pending"] == 0)
            seen |= commands(
                made, "failures --json", f"-v validate --json --html {tmp_path / 'report.html'}",
                "switch --force", "rollback", "switch --force", "-v cleanup --yes", "history",
            )  # fmt: skip
    finally:
        provider.accept(TEXTS[0])
        provider.recover()
    seen["traces"] = "\n".join(map(str, collector.spans))
    seen["report"] = (tmp_path / "report.html").read_text()
    seen |= {path.name: path.read_text() for path in made.logs.iterdir() if path.suffix == ".log"}
    seen |= {f"broker after: {name}": text for name, text in kept_in_redis(made)}
    servers = servers_log.read_bytes()[logged_before:].decode(errors="replace")
    # The server may quote a row of its own that a rule refuses, in its own log: docs/security.md
    seen["PostgreSQL's log"] = re.sub(r"^.*DETAIL:  Failing row contains.*$", "", servers, flags=re.MULTILINE)
    # The search would find something: the report has the table's name, the log its events
    assert any(
        "reembed.embed_chunk" in text for where, text in seen.items() if where.startswith("broker before")
    )
    assert "public.documents" in seen["report"]
    assert "chunk_done" in seen["embed-1.log"] + seen["embed-2.log"]
    assert "CheckViolation" in seen["ledger: failures"]
    assert 'kind="fault"' in seen["metrics"]
    # The request that was refused with the key, by its kind: the provider's words may be anything
    assert "ProviderRefusedKey" in seen["traces"]
    assert "exception.message" not in seen["traces"]
    assert "violates check constraint" in servers
    found = [(where, what) for where, text in seen.items() for what, mark in marks.items() if mark in text]
    assert found == []


def traced(made: Installation, collector: collecting.Collector) -> Installation:
    made.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.address
    return made


@contextmanager
def told_to_prometheus(made: Installation) -> Iterator[Callable[[], str]]:
    """What `reembed metrics` says when it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with made.begin("metrics", "--port", str(port)) as process:

        def ask() -> str:
            assert process.stdout is not None
            printed = process.stdout.readline()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                return printed + str(answer.read().decode())

        yield ask


def commands(made: Installation, *lines: str) -> dict[str, str]:
    """What each printed."""
    printed = {}
    for line in lines:
        answer = made.reembed(*line.split())
        assert answer.code in (0, 1, 2), (line, answer)
        printed[f"reembed {line}"] = answer.out + answer.err
    return printed


def ledger(made: Installation) -> Iterator[tuple[str, str]]:
    """Every row of every table in schema reembed."""
    with made.connect() as database:
        tables = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'reembed'").fetchall()
        for (name,) in tables:
            rows = database.execute(
                sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier("reembed", name))
            ).fetchall()
            yield f"ledger: {name}", "\n".join(row for (row,) in rows)


def kept_in_redis(made: Installation) -> Iterator[tuple[str, str]]:
    """Messages with their bodies decoded, and whatever else there is."""
    for variable in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        with redis.Redis.from_url(made.environment[variable], decode_responses=True) as client:
            for key in client.scan_iter():
                read: dict[str, Callable[[str], Any]] = {
                    "list": lambda name: client.lrange(name, 0, -1), "hash": client.hgetall,
                    "set": client.smembers, "string": client.get, "zset": lambda name: client.zrange(name, 0, -1),
                }  # fmt: skip
                kept = str(read[str(client.type(key))](key))
                bodies = re.findall(r'"body": "([\w+/=]+)"', kept)
                yield str(key), kept + "".join(base64.b64decode(body).decode() for body in bodies)


def arguments() -> Iterator[tuple[str, str]]:
    """Of every process whose program is ours."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            argv = (directory / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if re.search("reembed|celery|orchestrator", argv):
            yield directory.name, argv
