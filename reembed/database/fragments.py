"""What the queries mean by a pending document and by writing a vector: SQL fragments, by storage and by side.

With the vectors in the documents table a query looks at `d` alone. With a companion it reads the companion's row beside
the document; a document that has none there is pending as well.
"""

from psycopg import sql

from reembed.database import queries
from reembed.database.table import Table

Names = dict[str, sql.Composable]


def of(documents: Table, *, migration: int, model: int, listed: bool, side: str) -> Names:
    """The table's names, with those that depend on the migration and on the column that `side` means.

    `listed`: every document with text has a row in the companion, so that those without one are none of ours.
    """
    names: Names = {
        **documents.names,
        "migration": sql.Literal(migration),
        "model": sql.Literal(model),
        "side": sql.Literal(side),
    }
    names["not_refused"] = queries.compose("not_refused", names)
    # Exact whatever the state; a census counts by it
    names["without_vector"] = queries.compose("without_vector", names)
    if documents.companion is None:
        return names | _in_the_table(names, side)
    return names | _in_the_companion(names, side, listed=listed)


def _in_the_table(names: Names, side: str) -> Names:
    names = names | {"old_wanting": queries.compose("old_wanting", names)}
    if side == "new":
        names |= {"pending": names["without_vector"], "vector": queries.compose("new_vector", names)}
    else:
        names |= {
            "pending": queries.compose("old_pending", names),
            "vector": queries.compose("old_vector", names),
        }
    return names | {"written": queries.compose("written_to_table", names)}


def _in_the_companion(names: Names, side: str, *, listed: bool) -> Names:
    names = names | {"old_wanting": queries.compose("companion_old_wanting", names)}
    if side == "new":
        pending = queries.compose("listed", names) if listed else names["without_vector"]
        return names | {"pending": pending, "written": queries.compose("written_to_companion", names)}
    # The old column is the documents table's, wherever the new vectors are
    names |= {"vector": queries.compose("companion_old_vector", names)}
    names |= {"written_to_table": queries.compose("written_to_table", names)}
    return names | {
        "pending": queries.compose("old_pending", names),
        "written": queries.compose("written_to_old_column", names),
    }
