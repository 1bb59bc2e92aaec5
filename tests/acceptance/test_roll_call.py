"""The roll call of running processes, and what `doctor` prints for a program."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from psycopg import sql

from orchestrator.embedded.workforce import Workforce
from tests import installation
from tests.installation import Installation


def test_who_is_alive_says_so_and_nothing_stands_against_a_start(shared: Installation) -> None:
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier("examined"), installation.texts(20))
        database.execute("ANALYZE examined")
    answer = shared.reembed("doctor", "--json", DOCUMENTS_TABLE="examined")
    assert (answer.code, answer.err) == (0, "")
    assert set(answer.json) == {"table", "errors", "warnings", "findings"}
    assert (answer.json["table"], answer.json["errors"], answer.json["warnings"]) == ("examined", 0, 0)
    assert all(set(one) == {"id", "severity", "what", "hint"} for one in answer.json["findings"])
    seen = {one["id"]: one["what"] for one in answer.json["findings"]}
    assert seen["worker.alive"].startswith("2 x worker: embed-1@")
    assert seen["control.alive"].startswith("1 x control worker: control@")
    assert seen["beat.alive"].startswith("1 x beat: celerybeat@")
    assert not {name for name in seen if name.startswith("clock.")}


def test_a_beat_whose_clock_is_behind_is_noticed_before_anybody_misses_its_ticks(
    new_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    made = new_installation()
    # Python imports this before anything else
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nright = time.time\ntime.time = lambda: right() - 100\n"
    )
    environment = {**os.environ, **made.environment}
    with (
        Workforce(environment, made.logs) as there,
        Workforce({**environment, "PYTHONPATH": str(tmp_path)}, made.logs) as behind,
    ):
        there.start_control(wait=False)
        behind.start_beat(wait=False)
        there.wait_until_ready()
        behind.wait_until_ready()
        seen = {one["id"]: one["what"] for one in made.reembed("doctor", "--json").json["findings"]}
    assert "celerybeat@" in seen["beat.alive"]
    # What the answers took is not certain
    assert re.search(r" is (99|100) s behind the control worker's \(control@", seen["clock.schedule"])
