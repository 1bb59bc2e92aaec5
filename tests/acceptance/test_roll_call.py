"""The roll call of running processes, and what `doctor` prints for a program."""

from psycopg import sql

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
