"""What docs/operations.md says that a command prints, beside what it prints when that has happened."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import sql

from orchestrator.embedded.process import CHECKOUT
from orchestrator.embedded.provider import EmbeddingServer
from orchestrator.embedded.redis import Redis
from orchestrator.embedded.workforce import Workforce
from tests import installation, waiting
from tests.acceptance import disks
from tests.installation import Answer, Installation

OPERATIONS = (CHECKOUT / "docs" / "operations.md").read_text()

DOCUMENTS = sql.Identifier("documents")


def transcripts(section: str) -> dict[str, list[list[str]]]:
    """What each command prints in a section's console blocks, each time; `...` stands for what is left out."""
    text = OPERATIONS.split(f"\n## {section}\n")[1].split("\n## ")[0]
    printed: dict[str, list[list[str]]] = {}
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for one in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = one.splitlines()
            printed.setdefault(command, []).append([line for line in lines if line != "..."])
    assert printed, section
    return printed


def without_figures(text: str) -> str:
    """Numbers, addresses and widths of columns differ from one installation to the next."""
    text = re.sub(r"(?:https?|redis)://\S+", "URL", text)
    return re.sub(r" +", " ", re.sub(r"\d[\d,.]*", "0", text)).strip()


def says(section: str, command: str, answer: Answer | str, time: int = 0) -> None:
    """Every line that the document shows is one that was printed; `...` in it stands for anything.

    `time`: of a command that the section shows more than once.
    """
    printed = answer if isinstance(answer, str) else answer.out + answer.err
    lines = "\n".join(without_figures(line) for line in printed.splitlines())
    for line in transcripts(section)[command][time]:
        pattern = re.escape(without_figures(line)).replace(r"\.\.\.", ".*")
        assert re.search(f"^{pattern}$", lines, re.MULTILINE), f"{command} printed no {line!r}:\n{printed}"


@pytest.fixture
def own(new_installation: Callable[..., Installation]) -> Installation:
    made = new_installation(CHUNK_SIZE="20", EMBED_BATCH_SIZE="10", EMBED_CONCURRENCY="1")
    with made.connect() as database:
        installation.make_table(database, DOCUMENTS, installation.texts(60), indexed=False)
    return made


@pytest.fixture
def full_disk(own: Installation) -> Iterator[disks.FullDisk]:
    with disks.under(own) as disk:
        yield disk


@contextmanager
def slow(made: Installation) -> Iterator[None]:
    made.stack.provider.set_latency(1_000)
    try:
        yield
    finally:
        made.stack.provider.set_latency(0)


@contextmanager
def begun(made: Installation) -> Iterator[Workforce]:
    with made.processes() as processes:
        assert made.reembed("start").code == 0
        yield processes


def test_a_worker_dies(own: Installation) -> None:
    with slow(own), begun(own) as processes:
        own.wait_for(lambda status: status["chunks"]["running"] == 1)
        processes.workers[0].kill()
        own.wait_for(lambda status: "no worker" in (status["waiting_for"] or ""))
        says("A worker dies", "reembed status", own.reembed("status"))


def test_redis_is_lost_with_all_that_it_had(own: Installation, tmp_path: Path) -> None:
    broker = Redis(tmp_path)
    own.environment |= {"CELERY_BROKER_URL": broker.url(0), "CELERY_RESULT_BACKEND": broker.url(1)}
    try:
        broker.launch()
        broker.wait_until_ready()
        with slow(own), begun(own):
            own.wait_for(lambda status: status["embedded"] > 0)
            broker.kill()
            shutil.rmtree(tmp_path / "redis")
            own.wait_for(lambda status: "no worker" in (status["waiting_for"] or ""))
            says("Redis is lost", "reembed status", own.reembed("status"))
            says("Redis is lost", "reembed start", own.reembed("start"))
            # Another one, which knows nothing
            (tmp_path / "redis").mkdir()
            broker.launch()
            broker.wait_until_ready()
            own.stack.provider.set_latency(0)
            own.wait_for(lambda status: status["state"] == "ready")
        with own.connect() as database:
            assert installation.wrong_documents(database, DOCUMENTS) == []
    finally:
        broker.stop()


def test_the_provider_is_down_or_refuses_the_key(own: Installation, tmp_path: Path) -> None:
    section = "The provider is down, or the key is wrong"
    provider = EmbeddingServer(tmp_path)
    try:
        provider.launch()
        provider.wait_until_ready()
        own.environment |= {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": provider.api_key}
        provider.set_latency(1_000)
        with begun(own):
            provider.fail(503, seconds=600)
            own.wait_for(lambda status: "503" in (status["waiting_for"] or ""))
            says(section, "reembed status", own.reembed("status"), 0)
            provider.recover()
            provider.fail(401, seconds=600)
            own.wait_for(lambda status: status["state"] == "paused")
            says(section, "reembed status", own.reembed("status"), 1)
            provider.recover()
            says(section, "reembed resume", own.reembed("resume"))
            own.wait_for(lambda status: status["state"] == "backfilling" and status["chunks"]["running"])
            provider.stop()
            own.wait_for(lambda status: status["state"] == "paused")
            says(section, "reembed status", own.reembed("status"), 2)
    finally:
        provider.stop()


def test_the_disk_fills(own: Installation, full_disk: disks.FullDisk) -> None:
    # A worker asks the database again for twice the one, and puts off for a quarter of the other
    own.environment |= {"CHUNK_LEASE_SECONDS": "1", "PROVIDER_PATIENCE_SECONDS": "8"}
    with slow(own), begun(own):
        own.wait_for(lambda status: status["chunks"]["running"] == 1)
        full_disk.fill()
        own.wait_for(lambda status: "DiskFull" in (status["waiting_for"] or ""))
        says("The database is away, full or read-only", "reembed status", own.reembed("status"))
        full_disk.make_room()
        own.stack.provider.set_latency(0)
        own.wait_for(lambda status: status["state"] == "ready")
    with own.connect() as database:
        assert installation.wrong_documents(database, DOCUMENTS) == []


def test_the_overlap_is_low_the_trigger_is_gone_the_migration_is_abandoned(own: Installation) -> None:
    with begun(own):
        own.wait_for(lambda status: status["state"] == "ready")
        says("The overlap is low", "reembed validate", own.reembed("validate"))
        with own.connect() as database:
            database.execute('DROP TRIGGER "~reembed" ON documents')
            database.execute("UPDATE documents SET content = 'nobody saw this' WHERE id = 7")
        log = own.logs / "control.log"
        waiting.until(lambda: "triggers_put_back" in log.read_text(), seconds=60)
        # What Compose prints is what the process wrote
        says(
            "Somebody dropped the trigger",
            "docker compose logs --no-log-prefix control | grep triggers_put_back",
            "\n".join(line for line in log.read_text().splitlines() if "triggers_put_back" in line),
        )
        own.wait_for(lambda status: status["pending"] == 0)
        section = "The migration must be abandoned"
        says(section, "reembed abort --yes", own.reembed("abort", "--yes"))
        says(section, "reembed status", own.reembed("status"))


def test_every_transcript_is_compared() -> None:
    compared = set(re.findall(r'(?:says\(\s*|section = )"([^"]+)"', Path(__file__).read_text()))
    sections = re.split(r"^## (.*)$", OPERATIONS, flags=re.MULTILINE)
    named = zip(sections[1::2], sections[2::2], strict=True)
    assert compared == {name for name, text in named if "```console" in text}
