"""What the processes of an installation write, from their start to a SIGTERM, as a machine reads it."""

import json
from collections.abc import Callable

from psycopg import sql

from tests import flower, installation
from tests.installation import Installation

# Celery writes it past all logging, from within a signal's handler
RAW = ["", "worker: Warm shutdown (MainProcess)"]


def test_every_line_is_one_json_object_from_the_start_to_the_end(
    new_installation: Callable[..., Installation],
) -> None:
    made = new_installation(LOG_FORMAT="json", CHUNK_SIZE="20")
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(40), indexed=False)
    with made.processes(), flower.beside(made):
        assert made.reembed("start").code == 0
        made.wait_for(lambda status: status["state"] == "ready")
    logs = {path.stem: path.read_text().splitlines() for path in made.logs.glob("*.log")}
    assert set(logs) == {"embed-1", "control", "beat-1", "flower"}
    for name in ("embed-1", "control"):
        assert logs[name][-2:] == RAW
        del logs[name][-2:]
    for name, lines in logs.items():
        events = [json.loads(line) for line in lines]
        assert events, name
        assert all({"time", "level", "event", "logger", "process"} <= set(event) for event in events)
        # One for each request would drown the rest
        assert not [event for event in events if event["logger"].startswith(("http", "openai"))]
    assert '"event": "chunk_done"' in str(logs["embed-1"])
    assert "beat: Starting" in str(logs["beat-1"])
