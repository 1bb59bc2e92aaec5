"""Watching a migration: a progress bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from config.settings import Settings
from orchestrator import progress
from orchestrator.counting import Counting
from orchestrator.prices import Prices
from orchestrator.progress import Status
from reembed.database import ledger
from reembed.database.connection import Connection

# Nothing moves in these without a person
RESTING = ("paused", "failed", "ready", "needs_review", "switched", "cleaned", "aborted")

_LOOK_SECONDS = 0.5
_LINE_SECONDS = 5.0
# Of the bar, which gives way on a narrow terminal: what stands beside it says more
_BAR_COLUMNS = 40

Show = Callable[[Status], None]


def looking(database: Connection, settings: Settings, migration_id: int) -> Callable[[], Status]:
    """A look that may be taken as often as one likes: a large table is not counted at each."""
    counting = Counting()

    def look() -> Status:
        migration = ledger.get(database, migration_id)
        prices = Prices.of(settings, migration)
        return counting.status(migration, lambda: progress.status(database, migration, prices))

    return look


def until_at_rest(look: Callable[[], Status]) -> Status:
    """Show the migration until a person has to decide; the last status."""
    with _display() as show:
        while True:
            status = look()
            show(status)
            if status.state in RESTING:
                return status
            time.sleep(_LOOK_SECONDS)


def for_ever(look: Callable[[], Status]) -> None:
    """Show it until Ctrl-C, which is the way out."""
    with suppress(KeyboardInterrupt), _display() as show:
        while True:
            show(look())
            time.sleep(_LOOK_SECONDS)


def _display() -> AbstractContextManager[Show]:
    return _bar() if sys.stdout.isatty() else _lines()


class _Progress(Progress):
    """The bar, and below it the reason to wait: in lines of its own, as many as it takes."""

    reason: str | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.reason:
            yield Text(f"waiting: {self.reason}", style="yellow")


@contextmanager
def _bar() -> Iterator[Show]:
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(bar_width=None, table_column=Column(max_width=_BAR_COLUMNS)),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    with _Progress(*columns, console=Console()) as bar:
        task = bar.add_task("", total=None, rate="")

        def show(status: Status) -> None:
            left = f", {progress.duration(status.eta_seconds)} left" if status.eta_seconds else ""
            bar.update(
                task,
                description=status.state,
                total=status.documents,
                completed=status.embedded,
                rate=f"{progress.pace(status.documents_per_second or 0)}{left}",
            )
            bar.reason = status.waiting_for

        yield show


@contextmanager
def _lines() -> Iterator[Show]:
    """A line when the state or the reason to wait changes, else every few seconds."""
    last: tuple[str, bool] | None = None
    due = 0.0

    def show(status: Status) -> None:
        nonlocal last, due
        now = time.monotonic()
        # A reason may carry a number that changes all the time; whether there is one is what matters
        current = (status.state, status.waiting_for is not None)
        if current != last or now >= due:
            click.echo(status.sentence())
            last, due = current, now + _LINE_SECONDS

    yield show
