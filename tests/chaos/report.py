"""The table that a run prints: what was done to the migration, and what became of the documents."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from tests.chaos.application import Memory
from tests.chaos.oracle import Findings

LONGEST_IDLE_SECONDS = 0.2


@dataclass(frozen=True)
class Report:
    seed: int
    seconds: float
    workers: int
    faults: Counter[str]
    typed: Counter[str]
    states: dict[str, float]
    memories: list[Memory]
    new: Findings
    old: Findings
    cleaned: Findings
    embedded: int
    """Texts that the provider was paid for."""
    repeated: int
    """Of these, how often a text was one that it had been paid for before."""
    in_flight: int
    """Documents that were in flight at the faults, at most."""
    longest_idle: float
    """Seconds in an open transaction, doing nothing."""
    idle_whose: str
    unsettled: str | None
    """Why the migration did not come to rest; None where it did."""

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def failures(self) -> list[str]:
        found = [
            f"{name} column: {count} documents {kind}"
            for name, findings in (("new", self.new), ("old", self.old), ("cleaned", self.cleaned))
            for kind, count in findings.counts.items()
        ]
        if self.unsettled:
            found.append(f"the migration did not come to rest: {self.unsettled}")
        if self.repeated > self.in_flight:
            found.append(f"{self.repeated} texts embedded again, and only {self.in_flight} were in flight")
        if self.longest_idle > LONGEST_IDLE_SECONDS:
            found.append(
                f"a session was idle in transaction for {self.longest_idle:.2f} s: {self.idle_whose}"
            )
        return found

    def table(self) -> str:
        written = [seconds for memory in self.memories for seconds in memory.seconds]
        p50, p99, worst = (1_000 * float(np.quantile(written, share)) for share in (0.5, 0.99, 1.0))
        failed = sum(memory.failed for memory in self.memories)
        wrong = {kind: self._worst(kind) for kind in ("lost", "stale", "wrong")}
        rows = [
            ("seed, seconds, worker processes", f"{self.seed}, {self.seconds:.0f}, {self.workers}"),
            ("faults", f"{self.faults.total():,}, of {len(self.faults)} kinds"),
            ("typed by the operator", _listed(self.typed)),
            (
                "seconds seen in each state",
                ", ".join(f"{state} {spent:.0f}" for state, spent in self.states.items()),
            ),
            ("application: writes acknowledged", f"{len(written):,}"),
            ("application: latency p50, p99, longest", f"{p50:.1f} ms, {p99:.0f} ms, {worst:.0f} ms"),
            ("application: writes while the database was away", f"{failed:,}"),
            ("documents at the end", f"{self.new.documents:,}"),
            ("**lost, stale, wrong**", f"**{wrong['lost']}, {wrong['stale']}, {wrong['wrong']}**"),
            (
                "embedded, of these more than once",
                f"{self.embedded:,}, {self.repeated:,} ({100 * self.repeated / max(self.embedded, 1):.1f} %)",
            ),
            ("in flight at the faults, at most", f"{self.in_flight:,}"),
            ("longest idle in transaction", f"{1_000 * self.longest_idle:.0f} ms"),
        ]
        return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])

    def fault_table(self) -> str:
        rows = [f"| {kind} | {count} |" for kind, count in sorted(self.faults.items())]
        return "\n".join(["| fault | times |", "| --- | --- |", *rows])

    def _worst(self, kind: str) -> int:
        """Over the new column, the old one, and the new one after cleanup."""
        return max(findings.counts[kind] for findings in (self.new, self.old, self.cleaned))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} x {word}" for word, count in counts.most_common()) or "nothing"
