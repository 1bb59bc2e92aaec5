"""What a person sees at a terminal of 80 columns, and what Ctrl-C does there. Nobody works at this installation."""

import re
from collections.abc import Callable

import pytest
from psycopg import sql

from orchestrator.embedded import ports
from tests import installation, terminal
from tests.installation import Installation


@pytest.fixture(scope="module")
def deserted(new_installation: Callable[..., Installation]) -> Installation:
    """A migration has begun, and there is no worker."""
    made = new_installation(CHUNK_SIZE="20")
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(60))
    assert made.reembed("start").code == 0
    return made


def test_start_says_where_there_is_no_worker(deserted: Installation) -> None:
    again = deserted.reembed("start")
    assert (again.code, again.err) == (0, "")
    assert again.out == (
        "migration 1 of public.documents to lexical-ngrams (64): under way already, 3 chunks\n"
        "no worker answers over the broker: start one with `celery -A config.celery_app worker -Q reembed.embed`\n"
        "`reembed status --watch` shows it.\n"
    )


def test_a_reason_to_wait_stands_whole_below_a_bar_that_stays_whole(deserted: Installation) -> None:
    with terminal.reembed(deserted.environment, "start", "--wait") as seen:
        seen.wait_for("waiting: no worker").wait_for("-Q reembed.embed`")
        code = seen.interrupt()
    # As it was drawn last
    bar, *reason, said = seen.shown[seen.shown.rindex("backfilling ") :].splitlines()
    assert re.fullmatch(r"backfilling ━{20,40} +0/60 0\.0 a second 0:00:\d\d *", bar)
    assert len(bar) <= terminal.COLUMNS - 1
    assert re.fullmatch(
        r"waiting: no worker has taken a chunk for \d+ s; start one with "
        r"`celery -A config\.celery_app worker -Q reembed\.embed`",
        " ".join(line.strip() for line in reason if line),
    )
    # And nobody is said to go on
    assert code == 3
    assert said == (
        "No worker answers over the broker. `reembed status` shows where the migration stands, "
        "`reembed abort` gives it up."
    )


def test_ctrl_c_is_the_way_out_of_watching(deserted: Installation) -> None:
    with terminal.reembed(deserted.environment, "status", "--watch") as seen:
        code = seen.wait_for("backfilling").interrupt()
    assert code == 0
    assert "interrupted" not in seen.shown


def test_ctrl_c_is_the_way_out_of_telling_prometheus(deserted: Installation) -> None:
    with ports.reserve() as reserved:
        port = ports.number(reserved)
        with terminal.reembed(deserted.environment, "metrics", "--port", str(port)) as seen:
            code = seen.wait_for("/metrics").interrupt()
    assert (code, seen.shown) == (0, f"http://127.0.0.1:{port}/metrics\n")


def test_a_question_that_is_not_answered_ends_its_line(deserted: Installation) -> None:
    with terminal.reembed(deserted.environment, "abort") as seen:
        code = seen.wait_for("[y/N]: ").interrupt()
    assert (code, seen.shown) == (
        3,
        "Every vector in embedding_v2 will be lost. Go on? [y/N]: \nreembed: interrupted; nothing was changed.\n",
    )
    assert deserted.status()["state"] == "backfilling"
