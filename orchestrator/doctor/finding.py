"""What the doctor found: one thing, how bad it is, and what to do about it."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]
"""`start` would stop at an error, or the migration after it; a warning is for a person to look at."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    id: str
    """Stable: for a runbook, an alert, a comparison of two days. What it is about, a dot, what is the matter."""
    severity: Severity
    what: str
    hint: str
    """What to type or to look at; empty where there is nothing to do."""

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def ordered(findings: list[Finding]) -> list[Finding]:
    """The worst first, otherwise as they were found."""
    return sorted(findings, key=lambda one: SEVERITIES.index(one.severity))


def count(findings: list[Finding], severity: Severity) -> int:
    return sum(one.severity == severity for one in findings)
