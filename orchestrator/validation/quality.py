"""Whether the new model finds what it should: non-inferiority on judged queries.

The question is not whether the new model is better, but whether it is worse by more than the team will bear (the
margin). GO if even the lower end of the interval of the mean difference is above -margin; STOP if even the upper end is
below; otherwise the queries are too few to say, and how many more would do is part of the answer.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from orchestrator.validation import intervals, metrics
from orchestrator.validation.finding import Finding

Verdict = Literal["go", "stop", "inconclusive"]
Rankings = Mapping[str, Sequence[str]]
"""Document ids by query id, nearest first."""

DEPTH = 100
"""Results of each query that are looked at; recall@100 needs them."""
K = 10

_WORST = 20
_DRAWS = 10_000


@dataclass(frozen=True)
class Scores:
    """Means over the judged queries."""

    ndcg_at_10: float
    recall_at_10: float
    recall_at_100: float
    mrr: float

    @classmethod
    def of(cls, rankings: Rankings, judged: Mapping[str, metrics.Grades]) -> Self:
        def mean(values: list[float]) -> float:
            return sum(values) / len(values)

        pairs = [(rankings.get(query, ()), grades) for query, grades in judged.items()]
        return cls(
            ndcg_at_10=mean([metrics.ndcg(ranking, grades, K) for ranking, grades in pairs]),
            recall_at_10=mean([metrics.recall(ranking, grades, 10) for ranking, grades in pairs]),
            recall_at_100=mean([metrics.recall(ranking, grades, 100) for ranking, grades in pairs]),
            mrr=mean([metrics.reciprocal_rank(ranking[:DEPTH], grades) for ranking, grades in pairs]),
        )


@dataclass(frozen=True)
class Query:
    """One judged query: its nDCG@10 by both models."""

    id: str
    old: float
    new: float


@dataclass(frozen=True)
class Quality:
    """Old against new on judged queries; differences are new minus old, of nDCG@10."""

    queries: int
    old: Scores
    new: Scores
    difference: float
    low: float
    high: float
    """95 % paired bootstrap interval of the mean difference."""
    p: float
    """Of the randomization test: how often chance alone gives a difference as large, either way."""
    wins: int
    ties: int
    losses: int
    worst: tuple[Query, ...]
    """The queries that lose most: even the best upgrade loses some."""
    margin: float
    verdict: Verdict
    more_queries: int | None
    """Where it is inconclusive: how many more judged queries would probably decide; None where no number would."""

    @classmethod
    def of(cls, old: Rankings, new: Rankings, judged: Mapping[str, metrics.Grades], margin: float) -> Self:
        """Of at least one judged query. A query that a side has no ranking for counts as one that found nothing."""
        queries = [
            Query(
                query,
                metrics.ndcg(old.get(query, ()), grades, K),
                metrics.ndcg(new.get(query, ()), grades, K),
            )
            for query, grades in judged.items()
        ]
        differences = np.array([query.new - query.old for query in queries])
        low, high = intervals.bootstrap_mean(differences.tolist(), _DRAWS)
        verdict: Verdict = "go" if low > -margin else "stop" if high < -margin else "inconclusive"
        losing = sorted((query for query in queries if query.new < query.old), key=lambda q: q.new - q.old)
        return cls(
            queries=len(queries),
            old=Scores.of(old, judged),
            new=Scores.of(new, judged),
            difference=float(differences.mean()),
            low=low,
            high=high,
            p=randomization_p(differences.tolist()),
            wins=int((differences > 0).sum()),
            ties=int((differences == 0).sum()),
            losses=int((differences < 0).sum()),
            worst=tuple(losing[:_WORST]),
            margin=margin,
            verdict=verdict,
            more_queries=_more(differences.tolist(), margin) if verdict == "inconclusive" else None,
        )

    def findings(self) -> Iterator[Finding]:
        if self.verdict == "stop":
            yield Finding(
                "quality",
                "fault",
                f"on {self.queries:,} judged queries the new model loses {-self.difference:.3f} of nDCG@10, more than "
                f"VALIDATION_MARGIN allows ({self.margin})",
                "`reembed validate --json` lists the queries that lose most",
            )

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def randomization_p(differences: Sequence[float], draws: int = _DRAWS, seed: int = 0) -> float:
    """Two-sided p of the paired randomization test (Fisher 1935): signs are drawn anew, `draws` times.

    Never 0: the observed signs are one of the draws.
    """
    values = np.asarray(differences, dtype=np.float64)
    generator = np.random.default_rng(seed)
    # The tolerance: sums of the same numbers in another order
    observed = abs(values.sum()) - 1e-12
    extreme = 0
    block = max(1, 1_000_000 // max(len(values), 1))
    for first in range(0, draws, block):
        signs = generator.integers(2, size=(min(block, draws - first), len(values))) * 2 - 1
        extreme += int((np.abs(signs @ values) >= observed).sum())
    return (extreme + 1) / (draws + 1)


def _more(differences: Sequence[float], margin: float) -> int | None:
    """Queries to add so that an interval around the same mean would end before -margin (normal approximation)."""
    distance = abs(float(np.mean(differences)) + margin)
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    if distance < 1e-9 or spread == 0.0:
        return None
    return max(math.ceil((intervals.Z_95 * spread / distance) ** 2) - len(differences), 1)
