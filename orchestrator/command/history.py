"""history: what was judged and decided, side by side."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import click

from orchestrator.command import session
from reembed.database import decisions, validations
from reembed.database.decisions import Decision

_COLUMNS = "{:<18}{:<12}{:>9}  {:<22}{:>9}  {:<14}{}"
_HEAD = _COLUMNS.format("judged", "", "queries", "overlap@k", "identity", "nDCG@10", "faults")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def history(as_json: bool) -> None:
    """Compare the judgements of the migration, and list what people decided."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        judged = validations.every(database, migration.id)
        decided = decisions.of(database, migration.id)
    if as_json:
        session.print_json(
            {
                "migration": migration.id,
                "judgements": judged,
                "decisions": [dataclasses.asdict(decision) for decision in decided],
            }
        )
        return
    if not judged and not decided:
        click.echo(f"migration {migration.id} was not judged yet.")
    if judged:
        click.echo(_HEAD)
        click.echo("\n".join(_line(row) for row in judged))
    for decision in decided:
        click.echo(f"decided     {sentence(decision)}")


def sentence(decision: Decision) -> str:
    """Who did what, and when; and what stood against it."""
    done = decision.verb if decision.percent in (None, 100) else f"{decision.verb} of {decision.percent} %"
    told = f"{done} by {decision.operator} (role {decision.role}) at {decision.decided_at:%Y-%m-%d %H:%M}"
    return f"{told}, forced: {decision.forced}" if decision.forced else told


def _line(row: dict[str, Any]) -> str:
    report = row["report"]
    return _COLUMNS.format(
        f"{row['created_at']:%Y-%m-%d %H:%M}",
        "passed" if row["passed"] else "NOT PASSED",
        f"{report['queries']:,}",
        " ".join(_overlap(report)),
        f"{report['identity']['found']}/{report['identity']['tested']}",
        _quality(report),
        len(report["faults"]) or "",
    ).rstrip()


def _overlap(report: dict[str, Any]) -> Iterator[str]:
    if report["overlap_mean"] is None:
        yield "-"
        return
    low, high = report["overlap_ci95"]
    yield f"{report['overlap_mean']:.3f} ({low:.3f} to {high:.3f})"


def _quality(report: dict[str, Any]) -> str:
    judged = report["quality"]
    return "-" if judged is None else f"{judged['difference']:+.3f} {report['verdict']}"
