"""The command's entry: its list of commands, and every error as one line with its exit code.

Exit codes: 0 done; 1 the answer is no; 2 wrong use or configuration; 3 stopped half-way, can be resumed.
"""

import importlib
import logging
import sys

import click
import psycopg

from reembed import errors
from reembed.database import connection

# In the order in which they are used. Loaded when used: `status` need not wait for what `start` needs
_COMMANDS = {
    "demo": "demo",
    "doctor": "doctor",
    "plan": "plan",
    "start": "start",
    "status": "status",
    "metrics": "metrics",
    "failures": "failures",
    "pause": "steer",
    "resume": "steer",
    "retry": "steer",
    "validate": "validate",
    "history": "history",
    "switch": "decide",
    "rollback": "decide",
    "cleanup": "decide",
    "abort": "decide",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"orchestrator.command.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="reembed", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Log what is done, to stderr.")
def reembed(verbose: bool) -> None:
    """Move a pgvector table to a new embedding model while production keeps reading and writing.

    Everything is configured in the environment; see docs/configuration.md.

    \b
    1. reembed doctor      what is in the way; `reembed plan`: what would be done
    2. reembed start       add the new column, embed every document with Celery workers
    3. reembed validate    compare search results, old against new (also done by itself at the end)
    4. reembed switch      searches go to the new column; `rollback` leads back at once
    5. reembed cleanup     drop the old column
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, stream=sys.stderr)


def run() -> None:
    """The console script: never a traceback for a user's mistake."""
    try:
        reembed.main(prog_name="reembed", standalone_mode=False)
    except errors.ReembedError as error:
        _exit(str(error), error.exit_code)
    except click.Abort:
        _exit("interrupted.", 3)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "reembed"
        told = error.format_message()
        _exit(f"{told}{'' if told.endswith(('.', '?')) else '.'} Try `{path} --help`.", 2)
    except click.ClickException as error:
        _exit(error.format_message(), 2)
    except KeyboardInterrupt:
        _exit("interrupted. `reembed status` shows where the migration stands.", 3)
    except psycopg.Error as error:
        _exit(
            f"the database refused: {connection.first_line(error)}. Nothing is half done; try again, or look at "
            "`reembed status`.",
            3,
        )


def _exit(line: str, code: int) -> None:
    sys.stderr.write(f"reembed: {line}\n")
    raise SystemExit(code) from None
