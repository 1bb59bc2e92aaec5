"""`python -m tests.chaos --seconds 600 --seed 1`: run it, print the table, say how to repeat what failed."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos import run


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="for which things go wrong")
    parser.add_argument("--seed", type=int, default=1, help="what the faults are drawn from")
    parser.add_argument("--documents", type=int, default=run.DOCUMENTS)
    parser.add_argument("--writes-per-second", type=float, default=10.0)
    parser.add_argument("--by-jobs", action="store_true", help="PROVIDER_MODE=batch")
    parser.add_argument("--storage", choices=("column", "companion"), default="column", help="STORAGE")
    parser.add_argument("--report", type=Path, help="append the tables to this file")
    asked = parser.parse_args()
    logs = Path(tempfile.mkdtemp(prefix="reembed-chaos-"))
    report = run.run(
        asked.seconds,
        asked.seed,
        logs,
        documents=asked.documents,
        per_second=asked.writes_per_second,
        by_jobs=asked.by_jobs,
        storage=asked.storage,
    )
    tables = f"{report.table()}\n\n{report.fault_table()}\n"
    print(f"\n{tables}")
    if asked.report:
        with asked.report.open("a", encoding="utf-8") as file:
            file.write(f"{tables}\n")
    if report.passed:
        return 0
    for failure in (*report.failures, *report.new.examples, *report.old.examples, *report.cleaned.examples):
        print(failure, file=sys.stderr)
    how = " JOBS=1" if asked.by_jobs else ""
    how += f" STORAGE={asked.storage}" if asked.storage != "column" else ""
    print(
        f"\nRepeat it with: make chaos SECONDS={asked.seconds:g} SEED={asked.seed}{how}\nThe logs are in {logs}",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
