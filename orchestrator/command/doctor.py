"""doctor: what a migration will need, looked at before it needs it."""

from collections.abc import Iterator

import click

from config.settings import Settings
from orchestrator.command import session
from orchestrator.doctor import examination
from orchestrator.doctor.finding import Finding, count
from reembed import errors


class Unfit(errors.Usage):
    """{errors} would stop `reembed start`, or the migration after it.

    Mend what is said there, then `reembed doctor` again.
    """


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def doctor(as_json: bool) -> None:
    """Look at database, table, provider and processes. Changes nothing."""
    settings = Settings.load()
    findings = examination.examine(settings)
    stopping, warnings = count(findings, "error"), count(findings, "warning")
    if as_json:
        session.print_json(
            {
                "table": settings.documents_table,
                "errors": stopping,
                "warnings": warnings,
                "findings": [finding.as_json() for finding in findings],
            }
        )
    else:
        click.echo("\n".join(line for finding in findings for line in lines(finding)))
        if not stopping:
            click.echo(f"\nNothing stands against `reembed start`; {plural(warnings, 'warning')}.")
    if stopping:
        raise Unfit(errors=plural(stopping, "error"))


def lines(finding: Finding) -> Iterator[str]:
    """The finding, and under it what to do."""
    yield f"{finding.severity:<9}{finding.id}: {finding.what}"
    if finding.hint:
        yield f"{'':<9}{finding.hint}"


def plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
