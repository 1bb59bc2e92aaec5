"""A ruler for overlap@10: what known disturbances of the same search give, to be printed beside a measured figure.

Measured with exact search on SciFact, Cranfield and NPL (1,400 to 11,426 documents), documents or real queries as
queries; the lexical and the shifted line also on SciFact cut into 8,003 passages.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """One line of the ruler: what was done, and the mean overlap@10 it left, from one data set to another."""

    disturbance: str
    lowest: float
    highest: float


RULER = (
    Mark("same model, half precision (halfvec)", 1.0, 1.0),
    Mark("same model, int8", 0.995, 0.995),
    Mark("same model, noise of 10 %", 0.935, 0.935),
    Mark("same model, 256 of 384 dimensions", 0.77, 0.82),
    Mark("another trained model, sound", 0.30, 0.48),
    # Means of the whole collection. A sample of 400 queries adds 0.02 either way, and so falls below 0.10 for hashed
    # words (lowest 0.080), never for hashed n-grams (lowest 0.158)
    Mark("from hashed words or n-grams to a trained model, sound", 0.09, 0.27),
    Mark("vectors of the neighbouring rows: broken", 0.0, 0.06),
)
