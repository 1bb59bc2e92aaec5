"""What a benchmark hands back: figures with their goals, and the Markdown table of them."""

import argparse
import operator
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks import installation

_COMPARE = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Goal:
    sign: str
    """>= or <=."""
    value: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}{self.unit}"


@dataclass(frozen=True)
class Figure:
    """One line of the table: a value for each round, of which the median counts."""

    name: str
    rounds: Sequence[float]
    goal: Goal | None = None
    unit: str = ""
    digits: int = 2

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def met(self) -> str:
        if self.goal is None:
            return ""
        return "yes" if _COMPARE[self.goal.sign](self.median, self.goal.value) else "**no**"

    def row(self) -> str:
        least, most = (self._shown(value) for value in (min(self.rounds), max(self.rounds)))
        spread = f"{least} to {most}" if len(self.rounds) > 1 else ""
        goal = "" if self.goal is None else str(self.goal)
        return f"| {self.name} | {self._shown(self.median)}{self.unit} | {spread} | {goal} | {self.met} |"

    def _shown(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


HEAD = "| figure | ours | rounds | goal | met |\n| --- | --- | --- | --- | --- |"


def table(figures: Iterable[Figure]) -> str:
    return "\n".join([HEAD, *(figure.row() for figure in figures)])


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int = 3
    quick: bool = False

    def documents(self, full: int, quick: int) -> int:
        return quick if self.quick else full


Measure = Callable[[installation.Installation, Effort], list[Figure]]


def effort(description: str | None) -> Effort:
    """From the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3, help="in turns; the median counts")
    parser.add_argument(
        "--quick", action="store_true", help="one round of fewer documents: does it run at all?"
    )
    given = parser.parse_args()
    return Effort(1 if given.quick else given.rounds, given.quick)


def alone(measure: Measure, description: str | None) -> None:
    """What `python -m benchmarks.X` does."""
    asked = effort(description)
    with installation.running() as site:
        print(table(measure(site, asked)))
