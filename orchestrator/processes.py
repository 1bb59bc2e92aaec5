"""The processes of the Procfile until one of them ends, or Ctrl-C: `python -m orchestrator.processes`.

What honcho does, but Ctrl-C is how this is meant to end, and no error.
"""

import subprocess
import sys

import click

from orchestrator.embedded import signals


def run(workers: int, *options: str) -> int:
    """Returns the exit code: honcho's, or 0 after Ctrl-C, which honcho hears as we do. `options` are honcho's own.

    SIGTERM and SIGHUP are passed on inside signals.leave_in_order().
    """
    command = [sys.executable, "-m", "honcho", *options, "start", "-c", f"worker={workers}"]
    with subprocess.Popen(command) as running:  # noqa: S603  the command is ours
        try:
            return running.wait()
        except KeyboardInterrupt:
            return 0
        except SystemExit:
            running.terminate()
            raise


@click.command()
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=1))
def processes(workers: int) -> None:
    """Run all processes of an installation until Ctrl-C, by the environment and the .env in this directory."""
    with signals.leave_in_order():
        sys.exit(run(workers))


if __name__ == "__main__":
    processes()
