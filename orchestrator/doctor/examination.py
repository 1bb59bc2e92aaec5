"""The examination: every check in turn, each by itself, so that none hides what another would have found."""

from collections.abc import Callable, Iterable, Iterator

from config.settings import Settings
from orchestrator import checks
from orchestrator import start as starting
from orchestrator.doctor import (
    clocks,
    database,
    forecast,
    old_model,
    pooler,
    processes,
    provider,
    reading,
    refusals,
    replication,
    table,
)
from orchestrator.doctor.finding import Finding, ordered
from reembed import errors
from reembed.database import connection
from reembed.database.catalog import Description
from reembed.database.connection import Connection


def examine(settings: Settings) -> list[Finding]:
    """Everything: the database, the table, the processes, and both models by a real call each. The worst first."""
    examination = _Examination(settings)
    try:
        # Nothing is prepared and nothing is set: the pooler that we look for may be there
        with connection.connect(settings.direct_database, "doctor", pooled=True) as ours:
            examination.of_the_database(ours)
            found = examination.found
            if found is not None:
                # `plan` has a line of its own for this
                examination.read(ours, "table", table.storage, ours, settings, found)
                examination.look("old_model", old_model.look, ours, settings, found)
    except errors.Usage as error:
        examination.findings.append(refusals.finding(error))
    examination.of_the_processes()
    examination.look("provider", provider.look, settings)
    return ordered(examination.findings)


def before_start(ours: Connection, settings: Settings) -> list[Finding]:
    """What `plan` shows: the same without a question to a provider."""
    examination = _Examination(settings)
    examination.of_the_database(ours)
    examination.of_the_processes()
    return ordered(examination.findings)


class _Examination:
    """What was found so far."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.findings: list[Finding] = []
        self.found: Description | None = None
        """The table, once it was found fit."""

    def look(self, subject: str, check: Callable[..., Iterable[Finding]], *arguments: object) -> bool:
        """Write down what a check finds, what it raises included; whether it came to its end."""
        try:
            # One by one: what was found before an error stays
            for finding in check(*arguments):
                self.findings.append(finding)
        except errors.ReembedError as error:
            self.findings.append(refusals.finding(error))
            return False
        # Whatever a server says to a look that it does not allow: the others go on
        except Exception as error:
            what = f"This could not be looked at ({subject}): {connection.in_one_line(error)}"
            hint = "Mend that, or look at it by hand."
            self.findings.append(Finding(f"{subject}.unseen", "warning", what, hint))
            return False
        return True

    def read(
        self, ours: Connection, subject: str, check: Callable[..., Iterable[Finding]], *arguments: object
    ) -> bool:
        """The same in a transaction that can only read."""

        def read_only() -> Iterator[Finding]:
            with reading.only(ours):
                yield from check(*arguments)

        return self.look(subject, read_only)

    def of_the_database(self, ours: Connection) -> None:
        """The server and the table."""
        settings = self._settings
        for check in database.CHECKS:
            self.read(ours, "database", check, ours, settings)
        self.look("pooler", pooler.look, settings)
        self.read(ours, "clock", clocks.database, ours)
        self.read(ours, "table", self._fit, ours)
        if self.found is None:
            return
        for refuse in checks.OF_ANY_MIGRATION:
            self.read(ours, "table", _refused, refuse, ours, settings, self.found)
        self.read(ours, "migration", _migration, ours, settings, self.found)
        for look in (*table.CHECKS, *replication.CHECKS, *forecast.CHECKS):
            self.read(ours, "table", look, ours, settings, self.found)

    def of_the_processes(self) -> None:
        """The broker, and who answers over it."""
        if self.look("broker", processes.broker):
            self.look("backend", processes.memory, self._settings)
            self.look("clock", clocks.backend, self._settings)
            self.look("processes", processes.alive)

    def _fit(self, ours: Connection) -> Iterator[Finding]:
        """All that stands against the table at once, where `start` would name the first."""
        problems = checks.unfit(ours, self._settings)
        yield from map(refusals.finding, problems)
        if not problems:
            self.found = checks.documents_table(ours, self._settings)


def _refused(
    check: checks.Check, ours: Connection, settings: Settings, found: Description
) -> Iterator[Finding]:
    """What `start` would say."""
    try:
        check(ours, settings, found)
    except errors.ReembedError as error:
        yield refusals.finding(error)


def _migration(ours: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """The one that is under way, or what stands against a new one.

    Raises ledger.AnotherMigration, start.Paused, start.FailedBefore.
    """
    migration = starting.under_way(ours, settings, found)
    if migration is None:
        for check in checks.OF_A_NEW_MIGRATION:
            yield from _refused(check, ours, settings, found)
        return
    starting.refuse_stopped(migration)
    what = f"Migration {migration.id} to {migration.new_model} is {migration.state}."
    yield Finding("migration.under_way", "info", what, "`reembed status` shows it.")
