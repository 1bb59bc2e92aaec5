"""A batch's vectors on the wire: what PostgreSQL's array_recv and pgvector's vector_recv expect."""

import struct

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import adapt

from reembed.database import binary

OID = 16_999


def matrix(documents: int, dimensions: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(documents, dimensions)).astype(np.float32)


def psycopgs_own(values: list[float]) -> bytes:
    """A float8[] as psycopg sends it: another element, the same array around it."""
    transformer = adapt.Transformer()
    dumper = transformer.get_dumper(values, adapt.PyFormat.BINARY).upgrade(values, adapt.PyFormat.BINARY)
    return bytes(dumper.dump(values) or b"")


@pytest.mark.parametrize("shape", [(1, 1), (1, 768), (3, 4), (500, 768), (2, 16_000)])
def test_an_array_is_its_header_and_each_vector_in_pgvectors_own_form(shape: tuple[int, int]) -> None:
    vectors = matrix(*shape)
    encoded = binary.encode(vectors, OID)
    # One dimension, no NULL in it, the elements' type, how many there are, the number of the first
    assert encoded[:20] == struct.pack(">iiIii", 1, 0, OID, shape[0], 1)
    expected = b"".join(struct.pack(">i", 4 + 4 * shape[1]) + Vector(row).to_binary() for row in vectors)
    assert encoded[20:] == expected


@pytest.mark.parametrize("values", [[7.0], [7.0, -8.0, 9.5]])
def test_the_header_is_the_one_that_psycopg_writes(values: list[float]) -> None:
    oid = psycopg.adapters.types["float8"].oid
    vectors = np.array(values, np.float32).reshape(-1, 1)
    assert binary.encode(vectors, oid)[:20] == psycopgs_own(values)[:20]


@pytest.mark.parametrize("dimensions", [1, 768])
def test_no_vectors_are_an_empty_array(dimensions: int) -> None:
    # No dimension at all, as array_send has it: a dimension of length 0 is refused
    assert binary.encode(matrix(0, dimensions), OID) == struct.pack(">iiI", 0, 0, OID)


@pytest.mark.parametrize(
    "given",
    [
        np.asfortranarray(matrix(6, 4)),
        np.repeat(matrix(6, 4), 2, axis=0)[::2],
        np.repeat(matrix(6, 4), 2, axis=1)[:, ::2],
        np.ascontiguousarray(matrix(6, 4)[::-1])[::-1],
        matrix(6, 4).astype(np.float64),
        matrix(6, 4).astype(">f4"),
    ],
    ids=["by columns", "every second row", "every second column", "backwards", "float64", "big-endian"],
)
def test_layout_and_width_of_the_numbers_given_do_not_matter(given: NDArray[np.float32]) -> None:
    assert binary.encode(given, OID) == binary.encode(matrix(6, 4), OID)


def test_encoding_leaves_the_vectors_as_they_were() -> None:
    vectors = matrix(3, 4)
    vectors.flags.writeable = False
    binary.encode(vectors, OID)
    assert np.array_equal(vectors, matrix(3, 4))


@pytest.mark.parametrize("values", [[0.0], [0.1, -2.0, 3e-30], [3.4e38, -0.0, 1e-45], list(range(16_000))])
def test_a_vector_comes_back_as_it_was(values: list[float]) -> None:
    vector = np.array(values, np.float32)
    decoded = binary.decode(Vector(vector).to_binary())
    # In this machine's order of bytes, to be computed with, and ours to write to
    assert decoded.dtype == np.dtype(np.float32)
    assert decoded.flags.writeable
    assert decoded.tobytes() == vector.tobytes()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_vector_is_read_from_whatever_buffer_psycopg_hands_over(kind: type) -> None:
    vector = matrix(1, 5)[0]
    assert binary.decode(kind(Vector(vector).to_binary())).tolist() == vector.tolist()
