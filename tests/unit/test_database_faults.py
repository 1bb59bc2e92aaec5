"""PostgreSQL's errors, by whom they belong to."""

import psycopg
import pytest
from psycopg import errors as pg

from reembed.database import connection, faults

PASSING: list[Exception] = [
    pg.DeadlockDetected(),
    pg.SerializationFailure(),
    pg.LockNotAvailable(),
    pg.QueryCanceled(),
    pg.AdminShutdown(),
    pg.CrashShutdown(),
    pg.CannotConnectNow(),
    pg.TooManyConnections(),
    pg.DiskFull(),
    pg.OutOfMemory(),
    pg.ReadOnlySqlTransaction(),
    psycopg.OperationalError("the connection is closed"),
    psycopg.InterfaceError("the connection is closed"),
    connection.DatabaseUnreachable(where="host", reason="no route"),
]
ONE_DOCUMENTS: list[Exception] = [
    pg.CheckViolation(),
    pg.UniqueViolation(),
    pg.NotNullViolation(),
    pg.ForeignKeyViolation(),
    pg.DataException(),
    pg.RaiseException(),
    pg.ProgramLimitExceeded(),
]
OTHERS: list[Exception] = [pg.UndefinedColumn(), pg.SyntaxError(), pg.InternalError_(), ValueError()]


@pytest.mark.parametrize("error", [*PASSING, *ONE_DOCUMENTS, *OTHERS, pg.InsufficientPrivilege()], ids=repr)
def test_an_error_belongs_to_the_moment_to_a_document_to_the_configuration_or_to_us(error: Exception) -> None:
    assert faults.passes(error) == (error in PASSING)
    assert faults.is_one_documents(error) == (error in ONE_DOCUMENTS)
    assert faults.is_forbidden(error) == isinstance(error, pg.InsufficientPrivilege)
