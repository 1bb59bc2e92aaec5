"""What a migration will write: room on the server's disk, and log (WAL).

The figures were measured: 3,000 documents of 800 characters, 64 to 3,072 dimensions, an UPDATE or INSERT of 250 at a
time (PostgreSQL 18, pgvector 0.8). They held within a tenth, and a checkpoint more or less moves the log by as much.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from config.settings import Settings
from orchestrator import advice
from orchestrator.doctor.finding import Finding
from reembed.database import distances, queries, tuning
from reembed.database.catalog import Description
from reembed.database.connection import Connection

_PAGE = 8192
# A row longer than this has its vector out of line, in pieces of which four fill a page
_OUT_OF_LINE = 2_000
_PIECE = 1_996
_PIECE_WITH_HEADERS = 2_048
# Header, line pointer, model, hash, key and its index
_ROW = 140
# An element of an hnsw index beside its vector and its neighbours; of each of these
_ELEMENT = 128
_NEIGHBOUR = 12
_ENTRY = 30


@dataclass(frozen=True)
class Forecast:
    """Bytes."""

    vectors: int
    versions: int
    """New versions of the documents' rows; what vacuum takes of the old ones is used again."""
    index: int
    log: int

    @property
    def disk(self) -> int:
        return self.vectors + self.versions + self.index


def forecast(
    rows: int, row_bytes: float, dimensions: int, *, companion: bool, method: str, m: int
) -> Forecast:
    """Of so many documents, whose rows are so wide without their new vectors."""
    width = 8 + 4 * dimensions
    index = rows * _indexed(dimensions, method, m)
    # A companion takes the documents' rows along only when the vectors come home
    rewritten = 0.0 if companion else row_bytes + _ROW
    written = 1.13 * width + (2 * _ROW if companion else 2 * (row_bytes + _ROW))
    return Forecast(
        vectors=rows * (_stored(width) + (_ROW if companion else 0)),
        versions=round(rows * rewritten),
        index=index,
        log=round(rows * written) + index,
    )


def look(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    fill = advice.fill(connection, found.table)
    rows = round(fill.rows)
    if not rows:
        return
    m, _ = tuning.graph(settings.index_tuning, rows)
    expected = forecast(
        rows,
        fill.row_bytes,
        settings.embed_dimensions,
        companion=found.table.companion is not None,
        method=settings.index_method,
        m=m,
    )
    home = " `cleanup` writes each row once more." if found.table.companion else ""
    yield Finding(
        "disk.forecast",
        "info",
        f"About {_size(expected.disk)} of disk ({_size(expected.vectors)} of vectors, {_size(expected.versions)} of "
        f"rows' new versions, {_size(expected.index)} of index), and {_size(expected.log)} of log (WAL).{home}",
        "See that the server has as much: SQL cannot tell how much is free.",
    )
    keeps: int | None = queries.one(connection, "slot_limit")["bytes"]
    if keeps is not None and keeps < expected.log:
        yield Finding(
            "disk.slot_limit",
            "warning",
            f"max_slot_wal_keep_size is {_size(keeps)}, and {_size(expected.log)} of log will be written: a standby or "
            "subscriber that falls behind loses its slot.",
            "Raise it for the migration, or set GOVERN_REPLICATION_LAG_SECONDS for the workers.",
        )


CHECKS = (look,)


def _stored(width: int) -> int:
    """A vector in a row, or out of line."""
    return width if width <= _OUT_OF_LINE else math.ceil(width / _PIECE) * _PIECE_WITH_HEADERS


def _indexed(dimensions: int, method: str, m: int) -> int:
    """A vector in the index; no element of it crosses a page."""
    if method == "none":
        return 0
    each = 2 if distances.index_type("vector", dimensions) == "halfvec" else 4
    element = 8 + each * dimensions + (_ELEMENT + _NEIGHBOUR * m if method == "hnsw" else _ENTRY)
    return _PAGE // max(1, _PAGE // element)


def _size(count: int) -> str:
    """Bytes as a person says them."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:,.1f} {name}"
    return f"{count / 1e3:,.0f} kB"
