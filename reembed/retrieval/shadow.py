"""The shadow: a live search that was answered runs on the other side as well, to see how much the answers differ.

What is kept of it is a number. Text, vector and ids live in this process's memory until the comparison is made.
"""

from dataclasses import dataclass

from reembed.retrieval import rankings
from reembed.retrieval.composing import Question
from reembed.retrieval.program import Answer


@dataclass(frozen=True)
class Job:
    """A search to be repeated on the other side."""

    question: Question
    answer: Answer

    @property
    def other_side(self) -> bool:
        """Whether the other side is the new one."""
        return not self.answer.is_new

    def overlap(self, other: Answer) -> float | None:
        """None where nothing was asked for, or the flag changed in between so that the two are not comparable."""
        mine, its = self.answer.reading.flag, other.reading.flag
        if mine is None or its is None or not its.has_both or self.question.top_k < 1:
            return None
        if (mine.migration, mine.era) != (its.migration, its.era) or other.is_new == self.answer.is_new:
            return None
        ids, its_ids = ([hit.id for hit in answer.hits] for answer in (self.answer, other))
        return rankings.overlap_at_k(ids, its_ids, self.question.top_k)
