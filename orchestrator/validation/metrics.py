"""How good one ranking is, given which documents are relevant: nDCG, recall and reciprocal rank as trec_eval has them.

A judgement is a grade of a document for a query: 0 is not relevant, and so is a document that nobody judged.
"""

import math
from collections.abc import Mapping, Sequence

Grades = Mapping[str, int]
"""By document id, for one query."""


def ndcg(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Normalised discounted cumulative gain of the first k (Järvelin and Kekäläinen 2002), the gain being the grade.

    1 for the best ranking that is possible; 0 where no document is relevant.
    """
    ideal = _discounted(sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:k])
    gained = _discounted([max(grades.get(document, 0), 0) for document in ranking[:k]])
    return gained / ideal if ideal else 0.0


def recall(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """The share of the relevant documents that are among the first k; 0 where none is relevant."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant & set(ranking[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], grades: Grades) -> float:
    """One divided by the place of the first relevant document; 0 where the ranking has none."""
    for place, document in enumerate(ranking, start=1):
        if grades.get(document, 0) > 0:
            return 1 / place
    return 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1))
