"""`make up` without a database: the processes of the Procfile beside an embedded stack, with documents to migrate."""

import os
import secrets
import shlex
import sys
from pathlib import Path

import click

from config.settings import Settings
from orchestrator import processes
from orchestrator.demo import story
from orchestrator.embedded import process
from orchestrator.embedded import stack as embedded
from reembed.database import connection


@click.command()
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--documents", default=6_000, show_default=True, type=click.IntRange(min=100))
@click.option("--variables", default=process.CHECKOUT / ".env.up", type=click.Path(path_type=Path))
def up(workers: int, documents: int, variables: Path) -> None:
    """Run all processes of an installation until Ctrl-C, and say how the commands find it."""
    with embedded.running() as stack:
        password = secrets.token_urlsafe(9)
        environment = {
            **story.set_up(stack),
            "FLOWER_BASIC_AUTH": f"reembed:{password}",
            # Gone with the rest of it
            "BEAT_SCHEDULE": str(stack.directory / "beat-schedule"),
        }
        os.environ.update(environment)
        settings = Settings.load()
        with connection.connect(settings.database, "up") as database:
            story.load(database, settings, documents)
        try:
            _write(variables, environment)
            click.echo(
                "\nIn another terminal:\n\n"
                f"  . {process.CHECKOUT}/.venv/bin/activate && set -a && . {variables} && set +a\n"
                "  reembed plan\n  reembed start --wait\n\n"
                f"Flower: http://127.0.0.1:{os.environ.get('FLOWER_PORT', '5555')} (reembed, {password})\n"
                f"Metrics: http://127.0.0.1:{os.environ.get('METRICS_PORT', '9464')}/metrics\n",
            )
            sys.exit(processes.run(workers, "-d", str(process.CHECKOUT), "-e", str(variables)))
        finally:
            variables.unlink(missing_ok=True)


def _write(path: Path, environment: dict[str, str]) -> None:
    """For nobody but this user: it has a key in it."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items()))


if __name__ == "__main__":
    up()
