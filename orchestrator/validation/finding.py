"""What a judgement found: one thing that is wrong, or may be, and what to do about it."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["fault", "warning"]

# Of the documents that a finding is about; the rest are like them
_NAMED = 100


@dataclass(frozen=True)
class Finding:
    id: str
    """Stable: for a runbook, an alert, a comparison of two judgements."""
    severity: Severity
    """A fault does not pass; a warning is for a person to look at."""
    what: str
    next: str
    """What to type or to look at."""
    documents: tuple[str, ...] = ()
    """Keys of documents that it is about, as far as single ones are known."""

    def __str__(self) -> str:
        return f"{self.what}: {self.next}"

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"documents": list(self.documents[:_NAMED])}
