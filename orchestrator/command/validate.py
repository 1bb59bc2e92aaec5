"""validate: judge a migration again."""

import click

from orchestrator.command import session
from orchestrator.validation import judge, sentences


@click.command()
@click.option("--sample", type=click.IntRange(1), help="Documents to judge by; VALIDATION_SAMPLE.")
@click.option(
    "--queries",
    type=click.Path(exists=True, dir_okay=False),
    help="Real queries, one a line or JSONL with `text`.",
)
@click.option(
    "--qrels",
    type=click.Path(exists=True, dir_okay=False),
    help="Judgements of these queries: TREC's four columns, or query and document of a click.",
)
@click.option("--threshold", type=float, help="A similarity that your application asks of its results.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def validate(
    sample: int | None, queries: str | None, qrels: str | None, threshold: float | None, as_json: bool
) -> None:
    """Judge the new vectors against the old ones again. Exit code 1 if they do not pass."""
    if qrels and not queries:
        raise click.UsageError("--qrels judges the queries of --queries FILE, which is missing")
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        if sample is not None:
            settings = settings.model_copy(update={"validation_sample": sample})
        verdict = judge.again(database, settings, migration, queries, qrels, threshold)
    if as_json:
        session.print_json(verdict.as_json())
    else:
        click.echo("\n".join(sentences.lines(verdict)))
    if not verdict.passed:
        raise SystemExit(1)
