"""What became of the requests to the provider: sums for each migration, as workers add them.

Workers add what they counted with each heartbeat and at the end of each task, so that a request itself writes nothing
here; what a killed process had not yet added is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from reembed.database import queries
from reembed.database.connection import Connection

Outcome = Literal["answered", "rate_limited", "refused", "broken", "held"]
"""`rate_limited`: 429. `refused`: for its texts. `broken`: no usable answer. `held`: it waited for the quota, or for a
pause that the provider asked for, before it was sent; one that is counted as something else, too."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Requests:
    """Those of one outcome."""

    requests: int = 0
    seconds: float = 0.0
    """All of them together: until the answer; of those that were held, until they were sent."""


def add(connection: Connection, counted: Mapping[tuple[int, Outcome], Requests]) -> None:
    """Add what a process counted, by migration and outcome."""
    queries.run(
        connection, "count_requests", None,
        migrations=[migration for migration, _ in counted],
        outcomes=[outcome for _, outcome in counted],
        requests=[one.requests for one in counted.values()],
        seconds=[one.seconds for one in counted.values()],
    )  # fmt: skip


def of(connection: Connection, migration_id: int) -> dict[Outcome, Requests]:
    """Every outcome, also those that never came."""
    rows = queries.run(connection, "list_requests", None, migration_id=migration_id)
    found = {row["outcome"]: Requests(row["requests"], row["seconds"]) for row in rows}
    return {outcome: found.get(outcome, Requests()) for outcome in OUTCOMES}
