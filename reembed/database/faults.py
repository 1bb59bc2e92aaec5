"""To whom an error of PostgreSQL belongs: to the moment, to the configuration, or to one document."""

import psycopg
from psycopg import errors as pg

from reembed import errors
from reembed.database import connection


class DatabaseForbids(errors.Broken):
    """The database role of the workers may not write: {reason}.

    Grant it what docs/operations.md lists.
    """


class DatabaseTakesNothing(errors.Broken):
    """The database refuses every one of {count} documents by the same rule ({rule}).

    Look at the triggers and constraints of the table; no document was recorded as failed.
    """


_PASSING = (
    # Lost connections, restarts, deadlocks, serialization failures, lock time-outs, a full disk, too many sessions
    psycopg.OperationalError,
    psycopg.InterfaceError,
    connection.DatabaseUnreachable,
    # A standby, a failover, an operator who wants quiet
    pg.ReadOnlySqlTransaction,
)
_ONE_DOCUMENTS = (
    pg.IntegrityError,
    pg.DataError,
    pg.RaiseException,
    # A row that is too large for a page or for an index of the user's; an OperationalError by its class
    pg.ProgramLimitExceeded,
)


def passes(error: BaseException) -> bool:
    """Whether the same statement may succeed later, on a new connection where this one is gone."""
    return isinstance(error, _PASSING) and not is_one_documents(error)


def is_one_documents(error: BaseException) -> bool:
    """Whether a constraint, a trigger or a limit refuses a row of the statement."""
    return isinstance(error, _ONE_DOCUMENTS)


def is_forbidden(error: BaseException) -> bool:
    """Whether the role lacks a right: no waiting mends that."""
    return isinstance(error, pg.InsufficientPrivilege)
