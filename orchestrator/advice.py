"""Which STORAGE suits a table: a function of what the catalog says about it.

An UPDATE writes a row's new version. Where the page has room for it, no index is touched (HOT); where it has not, every
index of the table gets the new version, and an HNSW index takes its time. A backfill updates every row, so a page needs
room for all its rows once more.
"""

from dataclasses import dataclass

from reembed.database import catalog, queries
from reembed.database.catalog import Description
from reembed.database.connection import Connection
from reembed.database.table import Storage, Table

# Below this, either storage is done before anybody looks
_FEW = 5_000
# Share of a page that has to be free for all its rows' new versions, which are a little longer
_ROOM = 0.55


@dataclass(frozen=True)
class Fill:
    """How full a table's pages are, as of its last ANALYZE."""

    rows: float
    pages: int
    row_bytes: float
    """Of the columns as they are stored, large ones out of line."""
    page_bytes: int

    @property
    def free(self) -> float | None:
        """Mean free share of a page; None before the first ANALYZE."""
        if not self.pages or not self.row_bytes:
            return None
        # Each row has a header and a line pointer, each page a header
        used = self.rows * (self.row_bytes + 28) / (self.pages * (self.page_bytes - 24))
        return min(max(1.0 - used, 0.0), 1.0)


@dataclass(frozen=True)
class Advice:
    storage: Storage
    reason: str


def fill(connection: Connection, documents: Table) -> Fill:
    return Fill(**queries.one(connection, "describe_pages", catalog.LEAVES, table=documents.quoted))


def advise(found: Description, documents: int, free: float | None) -> Advice:
    """The storage for a table of so many documents whose pages are free to this share."""
    old = found.table.old
    if not found.old_indexes:
        return Advice("column", f"{old} has no vector index that writing beside it would cost")
    index = found.old_indexes[0]
    if documents < _FEW:
        return Advice("column", f"{documents:,} documents are soon written, though {index} makes it dear")
    if free is not None and free >= _ROOM:
        return Advice(
            "column", f"{free:.0%} of a page is free: a row's new version stays on it, and {index} untouched"
        )
    room = "nobody knows how full the pages are" if free is None else f"{free:.0%} of a page is free"
    return Advice("companion", f"{room}: each row written to the table goes into {index} once more")
