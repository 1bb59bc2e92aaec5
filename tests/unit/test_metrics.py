"""nDCG, recall and reciprocal rank against trec_eval itself, and by hand."""

import random

import ir_measures
import pytest
from ir_measures import RR, R, nDCG

from orchestrator.validation import metrics


@pytest.mark.parametrize("seed", range(20))
def test_the_metrics_are_trec_evals_to_nine_digits(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    documents = [f"d{number}" for number in range(200)]
    ranking = chance.sample(documents, 120)
    grades = {document: chance.choice([0, 0, 1, 2, 3]) for document in chance.sample(documents, 40)}
    qrels = [ir_measures.Qrel("q", document, grade) for document, grade in grades.items()]
    run = [ir_measures.ScoredDoc("q", document, -place) for place, document in enumerate(ranking)]
    expected = ir_measures.calc_aggregate([nDCG @ 10, R @ 10, R @ 100, RR], qrels, run)
    assert metrics.ndcg(ranking, grades, 10) == pytest.approx(expected[nDCG @ 10], abs=1e-9)
    assert metrics.recall(ranking, grades, 10) == pytest.approx(expected[R @ 10], abs=1e-9)
    assert metrics.recall(ranking, grades, 100) == pytest.approx(expected[R @ 100], abs=1e-9)
    assert metrics.reciprocal_rank(ranking, grades) == pytest.approx(expected[RR], abs=1e-9)


def test_nothing_relevant_and_nothing_found_are_zero() -> None:
    for grades, ranking in (({"a": 0}, ["a"]), ({"a": 1}, []), ({"a": 1}, ["b"]), ({"a": -1}, ["a"])):
        assert metrics.ndcg(ranking, grades, 10) == 0
        assert metrics.recall(ranking, grades, 10) == 0
        assert metrics.reciprocal_rank(ranking, grades) == 0


def test_the_best_ranking_is_one() -> None:
    assert metrics.ndcg(["a", "b", "c"], {"b": 1, "a": 3}, 10) == 1
