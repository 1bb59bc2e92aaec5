"""README.md, "Against your own database": its commands, typed as they stand there, lead to the new model."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator.embedded import process
from tests import installation, terminal
from tests.acceptance.test_up import free_ports
from tests.installation import Installation
from tests.unit.test_flower_access import NOT_SET

SECTION = (process.CHECKOUT / "README.md").read_text().partition("## Against your own database\n")[2]
BLOCK = SECTION.partition("```sh\n")[2].partition("```")[0].splitlines()
# What each process of `make up` shows when it is at work; the metrics say nothing
READY = {
    "worker.1": " ready", "worker.2": " ready", "control.1": " ready", "beat.1": "beat: Starting",
    "flower.1": "Connected to",
}  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `git clone` and `make setup` leave behind, without the .env of whoever runs the tests."""
    directory = tmp_path / "checkout"
    (directory / ".venv").mkdir(parents=True)
    for part in process.CHECKOUT.iterdir():
        if part.name not in {".venv", ".env", ".env.up", ".git"} and not part.name.startswith("celerybeat"):
            (directory / part.name).symlink_to(part)
    for part in Path(sys.prefix).iterdir():
        if part.name != ".ready":
            (directory / ".venv" / part.name).symlink_to(part)
    (directory / ".venv" / ".ready").touch()
    return directory


def fill_in(path: Path, values: dict[str, str]) -> None:
    """As a person does: between the quotes where there are some, and what is not there at the end."""
    lines = path.read_text().splitlines()
    for name, value in values.items():
        found = [number for number, line in enumerate(lines) if line.startswith(f"{name}=")]
        for number in found:
            quote = "'" if "'" in lines[number] else ""
            lines[number] = f"{name}={quote}{value}{quote}"
        if not found:
            lines.append(f"{name}='{value}'")
    path.write_text("\n".join(lines) + "\n")


def environment() -> dict[str, str]:
    """Of whoever opens a terminal: nothing of ours."""
    ours = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in ours}


def test_the_commands_of_the_readme_lead_from_a_clone_to_a_switched_table(
    new_installation: Callable[..., Installation], checkout: Path
) -> None:
    made = new_installation()
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(200))
    flower, metrics = free_ports(2)
    # A URL as many a provider of databases gives it: a shell would take its & for the end of a command
    url = f"{made.url}{'&' if '?' in made.url else '?'}sslmode=prefer&connect_timeout=5"
    values = {
        **{
            name: made.environment[name]
            for name in ("CELERY_BROKER_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL")
        },
        "DATABASE_URL": url,
        "EMBED_MODEL": installation.NEW_MODEL,
        "EMBED_DIMENSIONS": str(installation.NEW_DIMENSIONS),
        "OLD_EMBED_MODEL": installation.OLD_MODEL,
        "FLOWER_BASIC_AUTH": "ops:secret",
        "FLOWER_PORT": str(flower),
        "METRICS_PORT": str(metrics),
    }
    first, second, *rest = BLOCK
    assert first.startswith("make setup")
    assert second.startswith("make up")
    with (
        terminal.opened(checkout, environment()) as commands,
        terminal.opened(checkout, environment()) as processes,
    ):
        code, shown = commands.run(first, 30)
        assert code == 0, shown
        fill_in(checkout / ".env", values)
        processes.type(second)
        for name, sign in READY.items():
            processes.wait_for(rf"{name}\W[^\n]*{sign}", 60)
        for line in rest:
            # What cannot be undone asks
            code, shown = commands.run(line, 60, answers="y" if "cleanup" in line else "")
            assert code == 0, shown
        assert made.status()["state"] == "cleaned"
        with made.connect() as database:
            documents = sql.Identifier("documents")
            assert not installation.wrong_documents(
                database, documents, columns=("id", "content", "embedding")
            )
        begin = len(processes.shown)
        processes.ctrl_c()
        code, shown = processes.run("", 60)
    # The code of a program that was interrupted, and no complaint of make's
    assert code in (0, 130), shown
    assert "worker.1 stopped" in shown
    assert not re.search(r"^make\b", processes.shown[begin:], re.MULTILINE), shown


def test_make_up_says_in_one_line_that_flower_has_no_account_and_starts_nothing(checkout: Path) -> None:
    (checkout / ".env").write_text((checkout / ".env.example").read_text())
    fill_in(checkout / ".env", {"DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"})
    with terminal.opened(checkout, environment()) as commands:
        code, shown = commands.run("make up", 30)
    assert code == 2
    said = [
        line for line in shown.splitlines() if line and "make" not in line and not line.startswith("echo ")
    ]
    assert said == [f"reembed: {NOT_SET}"]
