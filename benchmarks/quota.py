"""How much of a quota is used, and how often a provider that enforces it has to refuse: four workers, three minutes.

.venv/bin/python -m benchmarks.quota [--quick]

The provider is the built-in one, which refuses whatever is beyond either limit in the 60 seconds before.
"""

import os
import subprocess
import sys
import time

from psycopg import sql

from benchmarks import figures, installation
from benchmarks.figures import Effort, Figure, Goal
from orchestrator.embedded import process
from orchestrator.embedded.workforce import Workforce
from reembed.database import binary, connection
from tests import installation as collection

WORKERS = 4
REQUESTS_PER_MINUTE = 1_200
TOKENS_PER_MINUTE = 100_000
# Documents of about ten tokens: nearly as much of the one limit as of the other
BATCH = 8
DOCUMENTS_PER_MINUTE = REQUESTS_PER_MINUTE * BATCH
# Until all workers are at it
WARM_UP_SECONDS = 15.0
MODEL = collection.NEW_MODEL
DATABASE = "quota"


def measure(site: installation.Installation, effort: Effort) -> list[Figure]:
    """One round: a minute's quota takes its minutes."""
    seconds = 60.0 if effort.quick else 180.0
    provider = site.stack.provider
    provider.limit(REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE, announce=False)
    provider.set_latency(150)
    environment = {
        **os.environ,
        **site.stack.environment(DATABASE),
        "EMBED_MODEL": MODEL,
        "EMBED_DIMENSIONS": str(collection.NEW_DIMENSIONS),
        "INDEX_METHOD": "none",
        "EMBED_BATCH_SIZE": str(BATCH),
        "EMBED_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
        "EMBED_TOKENS_PER_MINUTE": str(TOKENS_PER_MINUTE),
    }
    _fill(site, int(DOCUMENTS_PER_MINUTE * (seconds + 3 * WARM_UP_SECONDS) / 60))
    with Workforce(environment, site.stack.directory) as workforce:
        for _ in range(WORKERS):
            workforce.start_worker(wait=False)
        workforce.wait_until_ready()
        subprocess.run(
            [sys.executable, "-m", "reembed", "start"],
            env=environment,
            cwd=process.CHECKOUT,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        time.sleep(WARM_UP_SECONDS)
        before, began = provider.usage()[MODEL], time.monotonic()
        time.sleep(seconds)
        after, elapsed = provider.usage()[MODEL], time.monotonic() - began
        counted = provider.limited()
    requests = (after["requests"] - before["requests"]) / (REQUESTS_PER_MINUTE * elapsed / 60)
    tokens = (after["tokens"] - before["tokens"]) / (TOKENS_PER_MINUTE * elapsed / 60)
    name = f"{WORKERS} workers under a quota"
    return [
        Figure(f"{name}: share of it that is used", [max(requests, tokens)], Goal(">=", 0.98), digits=3),
        Figure(
            f"{name}: answers with 429",
            [100 * counted["refused"] / sum(counted.values())],
            Goal("<=", 0.1, " %"),
            " %",
        ),
        Figure("(of the requests a minute)", [requests], digits=3),
        Figure("(of the tokens a minute)", [tokens], digits=3),
    ]


def _fill(site: installation.Installation, documents: int) -> None:
    site.stack.postgres.create_database(DATABASE)
    with connection.connect(site.url(DATABASE), "benchmark") as database:
        database.execute("CREATE EXTENSION vector")
        binary.register(database)
        table = sql.Identifier("documents")
        collection.make_table(database, table, collection.texts(documents), indexed=False)


if __name__ == "__main__":
    figures.alone(measure, __doc__)
