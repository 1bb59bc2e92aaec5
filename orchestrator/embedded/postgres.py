"""A throw-away PostgreSQL with pgvector, on a unix socket that only we can reach."""

import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from orchestrator.embedded import account, postgres_home, process

START_SECONDS = 30.0
SUPERUSER = "postgres"

SETTINGS = {
    "listen_addresses": "",
    # A restart or a crash of the server loses nothing; a crash of the machine may lose the last second, and
    # nobody will miss it
    "synchronous_commit": "off",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    # A parallel index build shares its memory; the default puts that into /dev/shm, 64 MB in a container
    "dynamic_shared_memory_type": "mmap",
}


class Postgres:
    """One server. `launch` and `wait_until_ready` start it, `stop` ends it and deletes its data."""

    def __init__(self, log_directory: Path) -> None:
        self._home = postgres_home.create(account.Account.for_postgres())
        # Both in the home, which their account can enter, whatever directory we are in
        self._initdb = process.Process(
            "initdb",
            _initdb_command(self._home),
            log_directory / "initdb.log",
            directory=self._home.directory,
            user=self._home.owner,
        )
        self._process = process.Process(
            "PostgreSQL",
            [self._home.programs / "postgres", "-D", self._home.data, "-k", self._home.directory],
            log_directory / "postgres.log",
            directory=self._home.directory,
            user=self._home.owner,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> Path:
        return self._process.log

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self._home.directory))}"

    def launch(self) -> None:
        """Make the data directory, most of a second's work, and start the server without waiting for it."""
        self._home.make_programs_reachable()
        self._initdb.start()
        self._initdb.wait_for_success(START_SECONDS)
        self._process.start()

    def wait_until_ready(self) -> None:
        self._process.wait_for_log("database system is ready to accept connections", START_SECONDS)

    def crash(self) -> None:
        """End at once, without a word to anybody, and recover from the log."""
        self._process.terminate(stop_signal=signal.SIGQUIT)
        self._process.start()
        self.wait_until_ready()

    def restart(self) -> None:
        """Ends every connection; the data, what ALTER SYSTEM set and the URL stay."""
        # "Fast" shutdown: roll back and end. SIGTERM would wait until every client has left
        self._process.terminate(stop_signal=signal.SIGINT)
        self._process.start()
        self.wait_until_ready()

    def stop(self) -> None:
        """End the server, if it runs, and delete all it has."""
        # With all of its group, or what it has started goes on writing
        self._initdb.kill()
        # "Immediate" shutdown: what is about to be deleted needs no checkpoint
        self._process.terminate(stop_signal=signal.SIGQUIT)
        # After a SIGKILL the last backends may still write for a moment
        shutil.rmtree(self._home.directory, ignore_errors=True)

    def create_database(self, name: str, template: str | None = None) -> None:
        """A database without pgvector, unless the template has it. The template must have no connections."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self._execute(statement)

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is connected; do nothing if there is none."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)


def _initdb_command(home: postgres_home.Home) -> list[str | Path]:
    settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    return [
        *(
            home.programs / "initdb",
            "--pgdata",
            home.data,
            "--username",
            SUPERUSER,
            "--auth",
            "trust",
            "--no-sync",
        ),
        # The builtin locale sorts alike on every machine, whatever locales it has
        *(
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--locale-provider",
            "builtin",
            "--builtin-locale",
            "C.UTF-8",
        ),
        *settings,
    ]
