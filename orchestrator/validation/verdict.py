"""A judgement: numbers, ids, and whether they pass. It never holds a text."""

from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.validation import identity as identity_check
from orchestrator.validation.identity import Identity
from orchestrator.validation.overlap import Overlap
from orchestrator.validation.quality import Quality
from reembed.database.documents import Census

Mode = Literal["queries", "documents"]


@dataclass(frozen=True)
class Verdict:
    mode: Mode
    """What the overlap was measured with: real queries through both models, or documents as queries."""
    k: int
    floor: float
    """Mean overlap below which something is broken."""
    census: Census
    overlap: Overlap | None
    """None where no document has both vectors."""
    identity: Identity
    quality: Quality | None = None
    """None where nobody judged: then nobody guesses."""
    notes: tuple[str, ...] = field(default=())

    @property
    def missing(self) -> int:
        return self.census.pending

    @property
    def faults(self) -> list[str]:
        """Why it does not pass, each with what to type next; empty where it does.

        Integrity is proved or it is not. Overlap is an alarm: sound upgrades measure 0.30 to 0.48, so only a figure
        that no sound pair ever showed counts against it.
        """
        faults = []
        if self.missing:
            faults.append(
                f"{self.missing:,} documents have no fresh vector: `reembed status` shows why, then `reembed validate`"
            )
        if self.census.stale:
            faults.append(
                f"{self.census.stale:,} vectors are of an older text: `reembed retry` has them made anew, then "
                "`reembed validate`"
            )
        if self.census.invalid:
            faults.append(
                f"{self.census.invalid:,} vectors are missing or zero though a model is named beside them: "
                "`reembed retry` has them made anew, then `reembed validate`"
            )
        if identity_check.holds(self.identity) is False:
            faults.append(
                f"of {self.identity.tested:,} tested documents, {self.identity.lost:,} have a new vector that is "
                "nowhere near what their old one says: `reembed validate --json` lists them; compare a few by hand"
            )
        if self.overlap is not None and self.overlap.mean < self.floor:
            faults.append(
                f"the mean overlap {self.overlap.mean:.3f} is under the alarm floor {self.floor}: the new column may "
                "be shifted or mixed up"
            )
        if self.quality is not None and self.quality.verdict == "stop":
            faults.append(
                f"on {self.quality.queries:,} judged queries the new model loses {-self.quality.difference:.3f} of "
                f"nDCG@10, more than VALIDATION_MARGIN allows ({self.quality.margin}): `reembed validate --json` "
                "lists the queries that lose most"
            )
        return faults

    @property
    def passed(self) -> bool:
        return not self.faults

    @property
    def state(self) -> str:
        """What a migration becomes by it."""
        return "ready" if self.passed else "needs_review"

    def as_json(self) -> dict[str, Any]:
        overlap = self.overlap
        return {
            "mode": self.mode,
            "documents": self.census.documents,
            "without_text": self.census.without_text,
            "queries": overlap.queries if overlap else 0,
            "k": self.k,
            "overlap_mean": overlap.mean if overlap else None,
            "overlap_ci95": [overlap.low, overlap.high] if overlap else None,
            "low_overlap": [
                {"id": query, "overlap": value} for query, value in (overlap.under if overlap else ())
            ],
            "threshold": overlap.threshold if overlap else None,
            "missing": self.missing,
            "stale": self.census.stale,
            "invalid_vectors": self.census.invalid,
            "identity": {
                "tested": self.identity.tested,
                "found": self.identity.found,
                "ci95": [self.identity.low, self.identity.high],
                "lost": self.identity.lost,
                "failing_ids": list(self.identity.failing_ids),
            },
            # Quality needs judgements of relevance; without them nobody guesses
            "verdict": self.quality.verdict if self.quality else "not_judged",
            "quality": self.quality.as_json() if self.quality else None,
            "faults": self.faults,
            "notes": list(self.notes),
            "passed": self.passed,
        }
