"""A batch's vectors on the wire: what PostgreSQL's array_recv and pgvector's vector_recv expect."""

import struct

import numpy as np
import pytest
from pgvector import Vector

from reembed.database import binary

OID = 16_999


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (500, 768)])
def test_an_array_is_its_header_and_each_vector_in_pgvectors_own_form(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    encoded = binary.encode(matrix, OID)
    assert encoded[:20] == struct.pack(">iiIii", 1, 0, OID, shape[0], 1)
    expected = b"".join(struct.pack(">i", 4 + 4 * shape[1]) + Vector(row).to_binary() for row in matrix)
    assert encoded[20:] == expected


def test_no_vectors_are_an_empty_array() -> None:
    assert binary.encode(np.empty((0, 3), np.float32), OID) == struct.pack(">iiI", 0, 0, OID)


def test_layout_and_width_of_the_numbers_given_do_not_matter() -> None:
    matrix = np.arange(12, dtype=np.float64).reshape(3, 4)
    assert binary.encode(np.asfortranarray(matrix), OID) == binary.encode(matrix.astype(np.float32), OID)


def test_a_vector_comes_back_as_it_was() -> None:
    vector = np.array([0.1, -2.0, 3e-30], np.float32)
    decoded = binary.decode(Vector(vector).to_binary())
    assert decoded.dtype == np.float32
    assert decoded.tolist() == vector.tolist()
