"""plan: what `start` would do, and what it would cost."""

import math
from collections.abc import Iterator, Sequence

import click

from orchestrator import dispatch, progress
from orchestrator import start as starting
from orchestrator.command import doctor, session
from orchestrator.doctor import examination
from orchestrator.doctor.finding import Finding
from orchestrator.start import Plan


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--measure", is_flag=True, help="Write a few hundred vectors in both ways, and take them back.")
def plan(as_json: bool, measure: bool) -> None:
    """Show what `start` would do. Changes nothing."""
    with session.opened() as (database, settings):
        planned = starting.plan(database, settings, measured=measure)
        findings = examination.before_start(database, settings)
    if as_json:
        session.print_json(_plan_json(planned, findings))
    else:
        click.echo("\n".join(_plan_lines(planned, findings)))


def _plan_json(planned: Plan, findings: Sequence[Finding] = ()) -> dict[str, object]:
    load = planned.load
    return {
        "table": str(planned.found.table),
        "old_column": planned.found.table.old,
        "new_column": planned.found.table.new,
        "model": planned.settings.new_model.name,
        "dimensions": planned.settings.new_model.dimensions,
        "documents": load.documents,
        "tokens": load.tokens,
        "cost_usd": planned.dollars,
        "price_as_of": planned.price and planned.price.as_of,
        "chunks": load.chunks,
        "chunk_size": load.chunk_size,
        "waves": load.waves(dispatch.WAVE),
        "messages": load.messages(dispatch.WAVE),
        "broker_bytes": load.broker_bytes(dispatch.OUTSTANDING),
        "order_column": planned.settings.backfill_order_column,
        "requests": load.requests,
        "seconds_at_quota": planned.seconds_at_quota,
        "provider_mode": planned.settings.provider_mode,
        "jobs": load.chunks if planned.by_jobs else 0,
        "storage": planned.settings.storage,
        "recommended_storage": planned.advice.storage,
        "storage_reason": planned.advice.reason,
        "measured": planned.measured and planned.measured.as_json(),
        "vector_bytes": planned.vector_bytes,
        "findings": [finding.as_json() for finding in findings],
        "statements": planned.statements,
    }


def _plan_lines(planned: Plan, findings: Sequence[Finding]) -> list[str]:
    load, table = planned.load, planned.found.table
    where = f" in a table of its own, {table.companion}" if table.companion else ""
    price = planned.price
    if price is None:
        cost = "unknown: set EMBED_PRICE_PER_MILLION_TOKENS"
    else:
        by_jobs = (
            f", of which jobs cost {planned.settings.provider_job_price_share:.0%}" if planned.by_jobs else ""
        )
        cost = f"{planned.dollars:,.2f} USD ({price}{by_jobs})"
    column = planned.settings.backfill_order_column
    order = "of the keys" if column is None else f"chunks with the most {column} first"
    return [
        f"table       {table}: {table.old} stays as it is until cleanup, {table.new} is added{where}",
        f"model       {planned.settings.new_model}",
        f"documents   {load.documents:,}",
        f"tokens      about {load.tokens:,} (estimated from a sample, rather too many than too few)",
        f"cost        {cost}",
        f"chunks      {load.chunks:,} of {load.chunk_size:,} documents, in waves of {dispatch.WAVE:,}",
        f"order       {order}",
        f"broker      at most {_bytes(load.broker_bytes(dispatch.OUTSTANDING))} in Redis at a time",
        *_requests(planned),
        f"storage     {_storage(planned)}",
        *_measured(planned),
        *(f"disk        {finding.what}" for finding in findings if finding.id == "disk.forecast"),
        *_findings(findings),
        "",
        "`reembed start` runs:",
        *(f"{statement};" for statement in planned.statements),
    ]


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{math.ceil(count / 1e3)} kB"


def _requests(planned: Plan) -> list[str]:
    """How the texts go to the provider, and what limits that."""
    if planned.by_jobs:
        jobs, at_once = planned.load.chunks, planned.settings.provider_jobs
        rounds = math.ceil(jobs / at_once)
        return [
            f"jobs        about {jobs:,}, {at_once} at the provider at a time, each within a day: {rounds} days at the "
            "most, hours as a rule"
        ]
    seconds = planned.seconds_at_quota
    quota = (
        "none set: as fast as the provider answers"
        if seconds is None
        else f"{progress.duration(seconds)} at least"
    )
    return [f"requests    about {planned.load.requests:,}", f"quota       {quota}"]


def _storage(planned: Plan) -> str:
    """What is set, what is recommended, and why."""
    chosen, advised = planned.settings.storage, planned.advice
    if chosen == advised.storage:
        return f"{chosen}, as recommended: {advised.reason}"
    return f"{chosen}, but STORAGE={advised.storage} is recommended: {advised.reason}"


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    """Those that want something to be done."""
    wanting = [finding for finding in findings if finding.severity != "info"]
    if wanting:
        yield from ("", "found without asking the provider, which `reembed doctor` does:")
        for finding in wanting:
            yield from doctor.lines(finding)


def _measured(planned: Plan) -> Iterator[str]:
    if planned.measured is not None:
        column, companion = planned.measured.column, planned.measured.companion
        yield (
            f"measured    column {column:,.0f} documents a second, companion {companion:,.0f}: "
            f"{companion / column:.1f} x"
        )
