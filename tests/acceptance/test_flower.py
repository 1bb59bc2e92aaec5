"""Flower, as the Procfile starts it: what a person sees of a migration while it runs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from tests import browser, flower, installation, waiting
from tests.installation import Installation


def chunk(tasks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The only task that embeds a chunk; empty where there is none."""
    return next((task for task in tasks.values() if task["name"] == "reembed.embed_chunk"), {})


@pytest.mark.skipif(browser.PROGRAM is None, reason=browser.MISSING)
def test_flower_shows_progress_while_a_chunk_runs_and_the_reason_where_one_fails(
    new_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    made = new_installation(CHUNK_SIZE="400", EMBED_BATCH_SIZE="20", EMBED_CONCURRENCY="1")
    provider = made.stack.provider
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(400), indexed=False)
    with made.processes(), flower.beside(made) as watched:
        # Only whoever has the account sees anything, and nobody changes anything
        assert [watched.status("/tasks", account=account) for account in (None, "ops:guessed")] == [401, 401]
        assert watched.status("/api/workers") == 200
        assert watched.status("/api/worker/shutdown/embed-1@nowhere", method="POST") == 403
        # Given a chunk of twenty slow requests
        provider.set_latency(250)
        try:
            assert made.reembed("start").code == 0
            # Then the list of tasks says which chunk it is and how far
            waiting.until(lambda: watched.tasks("state=PROGRESS"), seconds=60)
            page = browser.read(f"{watched.address}/tasks", tmp_path / "running")
            assert "migration 1 chunk 1: ids 7-2800" in page
            (progress,) = re.findall(r"(\d+) of 400", page)
            assert 0 < int(progress) < 400
            assert ">PROGRESS<" in page
        finally:
            provider.set_latency(0)
        made.wait_for(lambda status: status["state"] == "ready")
        waiting.until(lambda: chunk(watched.tasks("state=SUCCESS")).get("result"), seconds=60)
        assert "done; 400 of 400 documents" in str(chunk(watched.tasks())["result"])
        # When the provider refuses the key for what is written now
        provider.fail(401, seconds=600)
        try:
            with made.connect() as database:
                database.execute("UPDATE documents SET content = content || ' again' WHERE id = 7")
            waiting.until(lambda: watched.tasks("state=FAILURE"), seconds=60)
            page = browser.read(f"{watched.address}/tasks", tmp_path / "failed")
            assert ">FAILURE<" in page
            assert "refused the API key: The server was told to fail (status 401)" in page
        finally:
            provider.recover()
