"""status: where a migration stands."""

import click

from orchestrator import progress
from orchestrator.command import session, waiting
from orchestrator.command.history import sentence
from orchestrator.prices import UNKNOWN, Prices
from orchestrator.progress import Status
from reembed.database.searches import ShadowReport, SideReport


@click.command()
@click.option("--watch", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def status(watch: bool, as_json: bool) -> None:
    """Show where the migration stands, and why it waits if it does."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        prices = Prices.of(settings, migration)
        if as_json:
            session.print_json(progress.status(database, migration, prices).as_json())
        elif watch:
            waiting.for_ever(waiting.looking(database, settings, migration.id))
        else:
            click.echo(_table(progress.status(database, migration, prices), prices))


def _table(status: Status, prices: Prices = UNKNOWN) -> str:
    rate = progress.pace(status.documents_per_second) if status.documents_per_second else "-"
    rows = [
        ("migration", f"{status.migration} of {status.table} to {status.model}"),
        ("state", status.state),
        ("documents", _documents(status)),
        ("chunks", ", ".join(f"{count:,} {state}" for state, count in status.chunks.items())),
        *_jobs(status),
        ("rate", rate),
        ("cost", _cost(status, prices)),
        ("searches", f"read {status.active_column}" + _canary(status)),
    ]
    if status.until_percent is not None:
        rows.append(("until", f"{status.until_percent:g} % of the documents are embedded, then it pauses"))
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


def _documents(status: Status) -> str:
    if status.state == "aborted":
        return f"{status.documents:,}: none has a new vector, the new column is gone"
    return (
        f"{status.documents:,}: {status.embedded:,} embedded, {status.pending:,} pending, "
        f"{status.failed:,} refused"
    )


def _jobs(status: Status) -> list[tuple[str, str]]:
    if not status.jobs:
        return []
    return [("jobs", f"{status.jobs:,} at the provider, of {status.job_texts:,} texts")]


def _cost(status: Status, prices: Prices) -> str:
    cost = "-"
    if status.cost_usd is None and status.tokens:
        whose = (
            "set EMBED_PRICE_PER_MILLION_TOKENS" if prices.new is None else "the old model's is in no list"
        )
        cost = f"{status.tokens:,} tokens, price unknown: {whose}"
    elif status.cost_usd is not None:
        as_of = f", list price of {status.price_as_of}" if status.price_as_of else ""
        cost = f"{status.cost_usd:,.2f} USD{as_of}"
    return cost if status.budget_usd is None else f"{cost}; pauses before {status.budget_usd:,.2f} USD"


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
