"""`plan` and its measurement: what the catalog of a real table says, and that nothing is left of having tried."""

import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import advice, checks, measure, start
from reembed.database.connection import Connection
from tests import installation
from tests.integration.test_companion import another

DOCUMENTS = sql.Identifier("documents")


def free(database: Connection, settings: Settings) -> float:
    database.execute("VACUUM FULL documents")
    database.execute("ANALYZE documents")
    share = advice.fill(database, checks.documents_table(database, settings).table).free
    assert share is not None
    return share


@pytest.mark.parametrize("partition_from", [None, 7_000], ids=["ordinary", "partitioned"])
def test_the_free_share_of_pages_is_known_after_an_analyze_and_follows_the_fill_factor(
    database: Connection, settings: Settings, partition_from: int | None
) -> None:
    installation.make_table(
        database, DOCUMENTS, installation.texts(2_000), indexed=False, partition_from=partition_from
    )
    assert free(database, settings) < 0.15
    leaves = ["documents_low", "documents_high"] if partition_from else ["documents"]
    for leaf in leaves:
        database.execute(sql.SQL("ALTER TABLE {} SET (fillfactor = 40)").format(sql.Identifier(leaf)))
    assert 0.5 < free(database, settings) < 0.7


def test_a_measurement_leaves_nothing_behind_and_waits_for_nobody(
    database: Connection, settings: Settings
) -> None:
    installation.make_table(database, DOCUMENTS, installation.texts(400))
    everything = (
        "SELECT (SELECT array_agg(t ORDER BY t.id) FROM (SELECT *, xmin, ctid FROM documents) t)::text,"
        " (SELECT array_agg(relname ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace)::text"
    )
    before = database.execute(everything).fetchall()
    with another(database) as application, application.transaction():
        # An application that holds a few of the rows, and whose other writes are not held up
        application.execute("SELECT FROM documents WHERE id <= 70 FOR UPDATE")
        planned = start.plan(database, settings, measured=True)
        application.execute("ALTER TABLE documents SET (fillfactor = 90)")
    assert planned.measured is not None
    assert planned.measured.column > 0
    assert planned.measured.companion > 0
    assert planned.advice.storage == "column"
    assert database.execute(everything).fetchall() == before


def test_a_table_whose_rows_are_all_locked_cannot_be_measured(
    database: Connection, settings: Settings
) -> None:
    installation.make_table(database, DOCUMENTS, installation.texts(12))
    with another(database) as application, application.transaction():
        application.execute("SELECT FROM documents FOR UPDATE")
        with pytest.raises(measure.NothingToMeasure):
            start.plan(database, settings, measured=True)
