"""status: where a migration stands."""

import click

from orchestrator import progress
from orchestrator.command import session, waiting
from orchestrator.command.history import sentence
from orchestrator.progress import Status
from reembed.database import ledger
from reembed.database.searches import ShadowReport, SideReport


@click.command()
@click.option("--watch", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def status(watch: bool, as_json: bool) -> None:
    """Show where the migration stands, and why it waits if it does."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)

        def look() -> Status:
            return progress.status(database, ledger.get(database, migration.id))

        if as_json:
            session.print_json(look().as_json())
        elif watch:
            waiting.for_ever(look)
        else:
            click.echo(_table(look()))


def _table(status: Status) -> str:
    rate = progress.pace(status.documents_per_second) if status.documents_per_second else "-"
    rows = [
        ("migration", f"{status.migration} of {status.table} to {status.model}"),
        ("state", status.state),
        (
            "documents",
            f"{status.documents:,}: {status.embedded:,} embedded, {status.pending:,} pending, "
            f"{status.failed:,} refused",
        ),
        ("chunks", ", ".join(f"{count:,} {state}" for state, count in status.chunks.items())),
        ("rate", rate),
        ("searches", f"read {status.active_column}" + _canary(status)),
    ]
    rows += [(f"{side} side", _side(report)) for side, report in status.searches.items() if report.searches]
    if status.shadow:
        rows.append(("shadow", _shadow(status.shadow)))
    if status.eta_seconds is not None:
        rows.append(("time left", progress.duration(status.eta_seconds)))
    if status.pending and status.lag_seconds is not None:
        rows.append(("lag", f"{progress.duration(status.lag_seconds)} at most"))
    if status.old_hidden or status.old_stale:
        rows.append(
            (
                "rollback",
                f"would hide {status.old_hidden:,} documents, and find {status.old_stale:,} by an older text",
            )
        )
    if status.last_decision:
        rows.append(("decided", sentence(status.last_decision)))
    if status.waiting_for:
        rows.append(("waiting for", status.waiting_for))
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def _canary(status: Status) -> str:
    if 0 < status.canary_percent < 100:
        return f"; {status.canary_percent} % of the keys read the new column"
    return ""


def _side(report: SideReport) -> str:
    return f"{report.searches:,} searches, {report.mean_ms:.1f} ms on average, 95 % within {report.p95_ms:.1f} ms"


def _shadow(report: ShadowReport) -> str:
    interval = (
        f" ({report.overlap_ci95[0]:.2f} to {report.overlap_ci95[1]:.2f})" if report.overlap_ci95 else ""
    )
    return (
        f"{report.searches:,} searches on both sides, overlap@{report.k} {report.overlap_mean:.2f}{interval}"
    )
