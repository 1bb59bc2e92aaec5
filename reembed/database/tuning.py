"""How a vector index is built: the operator's figures, and for what he leaves open those that suit the table's size."""

from dataclasses import dataclass

from reembed.database import distances

# pgvector's own up to a million rows. Above, the same search of a larger graph finds less unless the graph is denser
_MANY_ROWS = 1_000_000
_GRAPH = 16, 64
_LARGE_GRAPH = 24, 128
_LEAST_M = 2
# pgvector's advice for ivfflat: a list for each thousand rows, and the square root of the rows above a million
_ROWS_PER_LIST = 1_000
_MOST_LISTS = 32_768
# Rows that k-means looks at: so many for each list, and no fewer than these
_SAMPLED_PER_LIST = 50
_LEAST_SAMPLE = 10_000
# Of a graph's element beside its vector and its neighbours
_ELEMENT_BYTES = 200
_NEIGHBOUR_BYTES = 16
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Tuning:
    """What an operator wants of a build; None: by the table's size."""

    m: int | None = None
    ef_construction: int | None = None
    lists: int | None = None
    maintenance_work_mem: str | None = None
    """As PostgreSQL writes it: 2GB."""
    parallel_workers: int | None = None
    """None: as many as the server gives any build."""


BY_SIZE = Tuning()


@dataclass(frozen=True)
class Memory:
    """What the server says of its memory, in bytes."""

    maintenance_work_mem: int
    shared_buffers: int


def graph(tuning: Tuning, rows: int) -> tuple[int, int]:
    """m and ef_construction of an hnsw index. pgvector wants the latter at least twice the former."""
    m, ef_construction = _GRAPH if rows <= _MANY_ROWS else _LARGE_GRAPH
    if tuning.ef_construction is not None:
        ef_construction = tuning.ef_construction
        m = max(_LEAST_M, min(m, ef_construction // 2))
    if tuning.m is not None:
        m = tuning.m
        ef_construction = max(ef_construction, 2 * m)
    return m, ef_construction


def lists(tuning: Tuning, rows: int) -> int:
    """How many lists an ivfflat index over so many rows should have."""
    if tuning.lists is not None:
        return tuning.lists
    by_size = rows // _ROWS_PER_LIST if rows <= _MANY_ROWS else int(rows**0.5)
    return min(max(1, by_size), _MOST_LISTS)


def parameters(method: str, tuning: Tuning, rows: int) -> dict[str, int]:
    """What stands in WITH (...)."""
    if method == "ivfflat":
        return {"lists": lists(tuning, rows)}
    m, ef_construction = graph(tuning, rows)
    return {"m": m, "ef_construction": ef_construction}


def session(method: str, tuning: Tuning, rows: int, dimensions: int, server: Memory) -> dict[str, str]:
    """PostgreSQL's settings of the session that builds, by name."""
    memory = f"{_memory(method, tuning, rows, dimensions, server) // 1024}kB"
    settings = {"maintenance_work_mem": tuning.maintenance_work_mem or memory}
    if tuning.parallel_workers is not None:
        settings["max_parallel_maintenance_workers"] = str(tuning.parallel_workers)
    return settings


def _memory(method: str, tuning: Tuning, rows: int, dimensions: int, server: Memory) -> int:
    """Bytes for the build: as many as it needs, and never fewer than the server gives any.

    An hnsw graph that does not fit is built slowly, so it gets half as much as the server's cache at most: the one
    figure that says how large the machine is. k-means that does not fit fails, so it gets what it needs.
    """
    width = dimensions * (2 if distances.index_type("vector", dimensions) == "halfvec" else 4) + 8
    if method == "hnsw":
        m, _ = graph(tuning, rows)
        need = rows * (width + 2 * m * _NEIGHBOUR_BYTES + _ELEMENT_BYTES)
        need = min(need, server.shared_buffers // 2)
    elif method == "ivfflat":
        centers = lists(tuning, rows)
        sample = max(_LEAST_SAMPLE, _SAMPLED_PER_LIST * centers)
        # The sample and three sets of centers; the distances from each to each, as Elkan's algorithm keeps them
        need = (sample + 3 * centers) * (width + 8) + 4 * centers * (sample + centers + 4) + _MEGABYTE
    else:
        need = 0
    return max(need, server.maintenance_work_mem)
