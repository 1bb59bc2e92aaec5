"""A judgement: numbers, ids, and whether they pass. It never holds a text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.validation import identity as identity_check
from orchestrator.validation import integrity
from orchestrator.validation.again import Again
from orchestrator.validation.against import Latency, Mode
from orchestrator.validation.comparison import Ranking
from orchestrator.validation.finding import Finding
from orchestrator.validation.identity import Identity
from orchestrator.validation.index_recall import IndexRecall
from orchestrator.validation.integrity import Integrity
from orchestrator.validation.overlap import Overlap
from orchestrator.validation.quality import Quality
from orchestrator.validation.shift import Shift
from orchestrator.validation.slices import Slices
from reembed.database.documents import Census

# Queries whose results stand side by side in a report; of the others only the overlap does
_SIDE_BY_SIDE = 50


@dataclass(frozen=True)
class Verdict:
    mode: Mode
    """What the overlap was measured with: real queries through both models, or documents as queries."""
    k: int
    floor: float
    """Mean overlap below which something is broken."""
    integrity: Integrity
    again: Again
    overlap: Overlap | None
    """None where no document has both vectors."""
    identity: Identity
    quality: Quality | None = None
    """None where nobody judged: then nobody guesses."""
    shift: Shift | None = None
    old_latency: Latency | None = None
    new_latency: Latency | None = None
    found: Mapping[str, tuple[Ranking, Ranking]] = field(default_factory=dict)
    """What both sides found, by query or document."""
    slices: Slices | None = None
    """None where no column was named to cut by."""
    index: IndexRecall | None = None
    """None where neither column has an index."""
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Billed by the providers of both models, for what they were asked."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """VALIDATION_..., by name: two judgements compare only by the same ones."""
    notes: tuple[str, ...] = ()
    began_at: datetime | None = None
    """By the database's clock. What was written since may not have been looked at."""

    @property
    def census(self) -> Census:
        return self.integrity.census

    @property
    def findings(self) -> list[Finding]:
        """What is wrong or may be, each with what to type next.

        Integrity is proved or it is not. Overlap is an alarm: sound upgrades measure 0.30 to 0.48, so only a figure
        that no sound pair ever showed counts against it.
        """
        found = [
            *self.integrity.findings(),
            *identity_check.findings(self.identity),
            *self.again.findings(),
        ]
        if self.overlap is not None and self.overlap.mean < self.floor:
            what = f"the mean overlap {self.overlap.mean:.3f} is under the alarm floor {self.floor}"
            found.append(Finding("overlap", "fault", what, "the new column may be shifted or mixed up"))
        if self.slices is not None:
            found += self.slices.findings(self.floor)
        if self.index is not None:
            found += self.index.findings()
        if self.quality is not None:
            found += self.quality.findings()
        return found

    @property
    def faults(self) -> list[str]:
        """Why it does not pass; empty where it does."""
        return [str(finding) for finding in self.findings if finding.severity == "fault"]

    @property
    def warnings(self) -> list[str]:
        return [str(finding) for finding in self.findings if finding.severity == "warning"]

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
            "overlap_histogram": list(overlap.histogram) if overlap else [],
            "low_overlap": self._low_overlap(),
            "threshold": overlap.threshold if overlap else None,
            "similarity": self.shift.as_json() if self.shift else None,
            "latency_ms": {
                "old": self.old_latency.as_json() if self.old_latency else None,
                "new": self.new_latency.as_json() if self.new_latency else None,
            },
            "slices": self.slices.as_json() if self.slices else None,
            "index": self.index.as_json() if self.index else None,
            "missing": self.census.pending,
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
            "integrity": {
                "dimensions": self.integrity.dimensions,
                "dead_dimensions": self.integrity.dead_dimensions,
                "copied": self.integrity.copied,
                "shared": self.integrity.shared,
                "sampled": self.integrity.sampled,
                "norm_mean": self.integrity.norm_mean,
                "norm_deviation": self.integrity.norm_deviation,
                "norms": {
                    "levels": list(integrity.LEVELS),
                    "old": list(self.integrity.old_norms),
                    "new": list(self.integrity.new_norms),
                },
            },
            "embedded_again": {
                "tested": self.again.tested,
                "differing": list(self.again.differing),
                "lowest_cosine": self.again.lowest,
            },
            "findings": [finding.as_json() for finding in self.findings],
            "faults": self.faults,
            "notes": list(self.notes),
            "tokens": dict(self.tokens),
            "settings": dict(self.settings),
            "began_at": self.began_at.isoformat() if self.began_at else None,
            "passed": self.passed,
        }

    def _low_overlap(self) -> list[dict[str, Any]]:
        """The queries under the threshold, the worst first; both results of the first of them."""
        under = self.overlap.under if self.overlap else ()
        listed: list[dict[str, Any]] = [{"id": query, "overlap": value} for query, value in under]
        for entry in listed[:_SIDE_BY_SIDE]:
            if entry["id"] in self.found:
                old, new = self.found[entry["id"]]
                entry |= {"old": old.ids, "new": new.ids}
        return listed
