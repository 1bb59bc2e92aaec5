"""How much of a quota is used, and how often a provider that enforces it has to refuse: real workers.

.venv/bin/python -m benchmarks.quota [SECONDS]
"""

import os
import subprocess
import sys
import time

from psycopg import sql

from orchestrator.embedded import process
from orchestrator.embedded import stack as embedded
from orchestrator.embedded.workforce import Workforce
from reembed.database import binary, connection
from tests import installation

WORKERS = 4
REQUESTS_PER_MINUTE = 1_200
TOKENS_PER_MINUTE = 100_000
# Documents of about ten tokens: nearly as much of the one limit as of the other
BATCH = 8
DOCUMENTS_PER_MINUTE = REQUESTS_PER_MINUTE * BATCH
# Until all workers are at it
WARM_UP_SECONDS = 15.0
MODEL = installation.NEW_MODEL


def main(seconds: float) -> None:
    documents = int(DOCUMENTS_PER_MINUTE * (seconds + 3 * WARM_UP_SECONDS) / 60)
    with embedded.running() as stack:
        provider = stack.provider
        provider.limit(REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE, announce=False)
        provider.set_latency(150)
        environment = {
            **os.environ,
            **stack.environment("postgres"),
            "EMBED_MODEL": MODEL,
            "EMBED_DIMENSIONS": str(installation.NEW_DIMENSIONS),
            "INDEX_METHOD": "none",
            "EMBED_BATCH_SIZE": str(BATCH),
            "EMBED_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
            "EMBED_TOKENS_PER_MINUTE": str(TOKENS_PER_MINUTE),
        }
        with connection.connect(stack.postgres.url(), "benchmark") as database:
            database.execute("CREATE EXTENSION vector")
            binary.register(database)
            table = sql.Identifier("documents")
            installation.make_table(database, table, installation.texts(documents), indexed=False)
        with Workforce(environment, stack.directory) as workforce:
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
    refused, asked = counted["refused"], sum(counted.values())
    shares = {
        "requests": (after["requests"] - before["requests"]) / (REQUESTS_PER_MINUTE * elapsed / 60),
        "tokens": (after["tokens"] - before["tokens"]) / (TOKENS_PER_MINUTE * elapsed / 60),
    }
    limits = f"{REQUESTS_PER_MINUTE:,} requests and {TOKENS_PER_MINUTE:,} tokens a minute"
    print(f"{WORKERS} workers, {limits}, {elapsed:.0f} s")
    for kind, share in shares.items():
        print(f"{kind:<10}{share:>8.3f} of the quota")
    print(f"share of the tighter limit   {max(shares.values()):.3f}  (goal >= 0.98)")
    print(f"answers with 429             {refused / asked:.3%}  ({refused} of {asked:,}; goal <= 0.1 %)")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 180)
