"""A look at the database that can only read, and hangs on nobody's lock."""

from collections.abc import Iterator
from contextlib import contextmanager

from reembed.database import queries
from reembed.database.connection import Connection

# A person waits
_LIMITS = {"statement_timeout": "30s", "lock_timeout": "5s"}


@contextmanager
def only(ours: Connection) -> Iterator[None]:
    """One transaction that can only read.

    Not by a setting of the session: behind a pooler that nobody told us of, it would outlast us, in a session that is
    an application's by then.
    """
    ours.read_only = True
    try:
        with ours.transaction():
            queries.run(ours, "set_locally", None, names=[*_LIMITS], values=[*_LIMITS.values()])
            yield
    finally:
        if not ours.closed:
            ours.read_only = None
