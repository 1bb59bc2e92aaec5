"""How an index is built: what the operator says, and what suits the table's size where he says nothing."""

import pytest

from reembed.database import tuning
from reembed.database.tuning import Memory, Tuning

GIGABYTE = 1024**3
SERVER = Memory(maintenance_work_mem=64 * 1024**2, shared_buffers=8 * GIGABYTE)


@pytest.mark.parametrize(
    ("wanted", "rows", "expected"),
    [
        (Tuning(), 0, (16, 64)),
        (Tuning(), 1_000_000, (16, 64)),
        (Tuning(), 1_000_001, (24, 128)),
        (Tuning(m=40), 100, (40, 80)),
        (Tuning(m=8), 100, (8, 64)),
        (Tuning(ef_construction=200), 100, (16, 200)),
        (Tuning(ef_construction=10), 100, (5, 10)),
        (Tuning(ef_construction=4), 10**9, (2, 4)),
        (Tuning(m=100, ef_construction=1_000), 100, (100, 1_000)),
    ],
)
def test_a_graph_is_as_dense_as_its_size_wants_or_as_the_operator_says(
    wanted: Tuning, rows: int, expected: tuple[int, int]
) -> None:
    assert tuning.graph(wanted, rows) == expected
    # pgvector refuses anything else
    m, ef_construction = expected
    assert ef_construction >= 2 * m


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, 1), (999, 1), (50_000, 50), (1_000_000, 1_000), (4_000_000, 2_000), (10**10, 32_768)],
)
def test_lists_follow_the_rows_that_exist(rows: int, expected: int) -> None:
    assert tuning.lists(Tuning(), rows) == expected
    assert tuning.lists(Tuning(lists=7), rows) == 7


def test_each_method_gets_its_own_parameters() -> None:
    wanted = Tuning(m=20, ef_construction=90, lists=30)
    assert tuning.parameters("hnsw", wanted, 1) == {"m": 20, "ef_construction": 90}
    assert tuning.parameters("ivfflat", wanted, 1) == {"lists": 30}


@pytest.mark.parametrize(
    ("method", "rows", "dimensions", "least", "most"),
    [
        # No less than the server gives any build
        ("hnsw", 1_000, 768, 64, 64),
        ("none", 10**9, 768, 64, 64),
        # What the graph needs: 3 kB of vector and less than 1 kB around it
        ("hnsw", 100_000, 768, 300, 400),
        # Half precision: half of the vector
        ("hnsw", 100_000, 3_072, 600, 800),
        # No more than half of the cache
        ("hnsw", 10**9, 768, 4_096, 4_096),
        # What k-means needs: the sample's distances to every center
        ("ivfflat", 1_000_000, 768, 340, 400),
        ("ivfflat", 4_000_000, 768, 1_000, 1_300),
    ],
)
def test_a_build_gets_the_memory_that_it_needs_within_reason(
    method: str, rows: int, dimensions: int, least: int, most: int
) -> None:
    settings = tuning.session(method, Tuning(), rows, dimensions, SERVER)
    memory = settings["maintenance_work_mem"]
    assert memory.endswith("kB")
    assert least <= int(memory[:-2]) / 1024 <= most


def test_the_operators_memory_and_workers_are_taken_as_they_are() -> None:
    by_itself = tuning.session("hnsw", Tuning(), 1, 8, SERVER)
    assert by_itself.keys() == {"maintenance_work_mem"}
    wanted = Tuning(maintenance_work_mem="5GB", parallel_workers=0)
    assert tuning.session("hnsw", wanted, 10**9, 768, SERVER) == {
        "maintenance_work_mem": "5GB",
        "max_parallel_maintenance_workers": "0",
    }
