"""What a person sees at a terminal of 80 columns, and what Ctrl-C does there. Nobody works at this installation."""

import os
import re
import sys
from collections.abc import Callable, Iterator

import pytest
from psycopg import sql

from orchestrator.embedded import ports, process
from tests import installation, terminal
from tests.installation import Installation
from tests.terminal import Terminal

COLUMNS = 80
REEMBED = f"{sys.executable} -m reembed"


@pytest.fixture(scope="module")
def deserted(new_installation: Callable[..., Installation]) -> Installation:
    """A migration has begun, and there is no worker."""
    made = new_installation(CHUNK_SIZE="20")
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(60))
    assert made.reembed("start").code == 0
    return made


@pytest.fixture
def person(deserted: Installation) -> Iterator[Terminal]:
    environment = {**os.environ, **deserted.environment}
    with terminal.opened(process.CHECKOUT, environment, kind="xterm", columns=COLUMNS) as opened:
        yield opened


def test_start_says_where_there_is_no_worker(deserted: Installation) -> None:
    again = deserted.reembed("start")
    assert (again.code, again.err) == (0, "")
    assert again.out == (
        "migration 1 of public.documents to lexical-ngrams (64): under way already, 3 chunks\n"
        "no worker answers over the broker: start one with `celery -A config.celery_app worker -Q reembed.embed`\n"
        "`reembed status --watch` shows it.\n"
    )


def test_a_reason_to_wait_stands_whole_below_a_bar_that_stays_whole(person: Terminal) -> None:
    person.type(f"{REEMBED} start --wait")
    person.wait_for("waiting: no worker", 30)
    person.ctrl_c()
    person.wait_for("gives it up", 30)
    # As it was drawn last
    bar, *reason, said, _ = person.text[person.text.rindex("backfilling ") :].split("\n")
    assert re.fullmatch(r"backfilling ━{20,40} +0/60 0\.0 a second 0:00:\d\d *", bar)
    assert len(bar) < COLUMNS
    assert re.fullmatch(
        r"waiting: no worker has taken a chunk for \d+ s; start one with "
        r"`celery -A config\.celery_app worker -Q reembed\.embed`",
        " ".join(line.strip() for line in reason if line),
    )
    # And nobody is said to go on
    assert said == (
        "No worker answers over the broker. `reembed status` shows where the migration stands, "
        "`reembed abort` gives it up."
    )
    assert person.run("", 30)[0] == 3


def test_ctrl_c_is_the_way_out_of_watching(person: Terminal) -> None:
    person.type(f"{REEMBED} status --watch")
    person.wait_for("backfilling", 30)
    person.ctrl_c()
    code, _ = person.run("", 30)
    assert code == 0
    assert "reembed:" not in person.text


def test_ctrl_c_is_the_way_out_of_telling_prometheus(person: Terminal) -> None:
    with ports.reserve() as reserved:
        person.type(f"{REEMBED} metrics --port {ports.number(reserved)}")
        person.wait_for("/metrics", 30)
        person.ctrl_c()
        code, _ = person.run("", 30)
    assert code == 0
    assert "reembed:" not in person.text


def test_a_question_that_is_not_answered_ends_its_line(person: Terminal, deserted: Installation) -> None:
    person.type(f"{REEMBED} abort")
    person.wait_for(r"\[y/N\]: $", 30)
    person.ctrl_c()
    person.wait_for(r"changed\.\n", 30)
    assert person.text.endswith(
        "Every vector in embedding_v2 will be lost. Go on? [y/N]: ^C\n"
        "reembed: interrupted; nothing was changed.\n"
    )
    assert person.run("", 30)[0] == 3
    assert deserted.status()["state"] == "backfilling"
