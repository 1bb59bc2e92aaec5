"""What docs/operations.md says that a command prints, beside what it prints when that has happened."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import sql

from orchestrator.embedded.process import CHECKOUT
from orchestrator.embedded.workforce import Workforce
from tests import installation, waiting
from tests.installation import Answer, Installation

OPERATIONS = (CHECKOUT / "docs" / "operations.md").read_text()

DISK_FULL = """
CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file "base/16385/16391": No space left on device' USING ERRCODE = 'disk_full';
END $$
"""


def transcripts(section: str) -> dict[str, list[str]]:
    """What each command prints in a section's console blocks; `...` stands for what is left out."""
    text = OPERATIONS.split(f"\n## {section}\n")[1].split("\n## ")[0]
    printed: dict[str, list[str]] = {}
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for one in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = one.splitlines()
            printed[command] = [line for line in lines if line != "..."]
    assert printed, section
    return printed


def without_figures(text: str) -> str:
    """Numbers, addresses and widths of columns differ from one installation to the next."""
    text = re.sub(r"(?:https?|redis)://\S+", "URL", text)
    return re.sub(r" +", " ", re.sub(r"\d[\d,.]*", "0", text)).strip()


def says(section: str, command: str, answer: Answer | str) -> None:
    """Every line that the document shows is one that was printed; `...` in it stands for anything."""
    printed = answer if isinstance(answer, str) else answer.out + answer.err
    lines = "\n".join(without_figures(line) for line in printed.splitlines())
    for line in transcripts(section)[command]:
        pattern = re.escape(without_figures(line)).replace(r"\.\.\.", ".*")
        assert re.search(f"^{pattern}$", lines, re.MULTILINE), f"{command} printed no {line!r}:\n{printed}"


@pytest.fixture
def own(new_installation: Callable[..., Installation]) -> Installation:
    made = new_installation(CHUNK_SIZE="20", EMBED_BATCH_SIZE="10", EMBED_CONCURRENCY="1")
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(60), indexed=False)
    return made


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


def test_a_worker_dies_or_the_broker_is_lost(own: Installation) -> None:
    with slow(own), begun(own) as processes:
        own.wait_for(lambda status: status["chunks"]["running"] == 1)
        processes.workers[0].kill()
        own.wait_for(lambda status: "no worker" in (status["waiting_for"] or ""))
        says("A worker dies", "reembed status", own.reembed("status"))
        lost = own.reembed("start", CELERY_BROKER_URL="redis://127.0.0.1:1/0")
        says("Redis is lost", "reembed start", lost)


def test_the_provider_refuses_the_key_and_the_disk_is_full(own: Installation) -> None:
    section = "The provider is down, or the key is wrong"
    with slow(own), begun(own):
        own.stack.provider.fail(401, seconds=600)
        try:
            own.wait_for(lambda status: status["state"] == "paused")
            says(section, "reembed status", own.reembed("status"))
        finally:
            own.stack.provider.recover()
        with own.connect() as database:
            database.execute(DISK_FULL)
            database.execute(
                "CREATE TRIGGER no_space BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION no_space()"
            )
        says(section, "reembed resume", own.reembed("resume"))
        own.wait_for(lambda status: "DiskFull" in (status["waiting_for"] or ""))
        says("The database is away, full or read-only", "reembed status", own.reembed("status"))
        with own.connect() as database:
            database.execute("DROP FUNCTION no_space CASCADE")
        own.wait_for(lambda status: status["state"] == "ready")


def test_the_overlap_is_low_the_trigger_is_gone_the_migration_is_abandoned(own: Installation) -> None:
    with begun(own):
        own.wait_for(lambda status: status["state"] == "ready")
        says("The overlap is low", "reembed validate", own.reembed("validate"))
        with own.connect() as database:
            database.execute('DROP TRIGGER "~reembed" ON documents')
            database.execute("UPDATE documents SET content = 'nobody saw this' WHERE id = 7")
        log = own.logs / "control.log"
        waiting.until(lambda: "triggers_put_back" in log.read_text(), seconds=60)
        seen = "\n".join(re.findall(r"event=triggers_put_back .* (?=logger)", log.read_text()))
        says("Somebody dropped the trigger", "grep triggers_put_back control.log", seen)
        own.wait_for(lambda status: status["pending"] == 0)
        section = "The migration must be abandoned"
        says(section, "reembed abort --yes", own.reembed("abort", "--yes"))
        says(section, "reembed status", own.reembed("status"))


def test_every_transcript_is_compared() -> None:
    compared = set(re.findall(r'(?:says\(|section = )"([^"]+)"', Path(__file__).read_text()))
    sections = re.split(r"^## (.*)$", OPERATIONS, flags=re.MULTILINE)
    named = zip(sections[1::2], sections[2::2], strict=True)
    assert compared == {name for name, text in named if "```console" in text}
