"""--budget and --until: the limits of a migration, as they are typed."""

import math
from collections.abc import Callable
from typing import Any

import click


class _Number(click.FloatRange):
    """Above 0, and a number that one can count to."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no amount.", param, ctx)
        return number


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Both of them, as `budget` and `until`."""
    budget = click.option(
        "--budget",
        type=_Number(min=0, min_open=True),
        metavar="USD",
        help="Pause before embedding has cost so much.",
    )
    until = click.option(
        "--until",
        type=_Number(min=0, max=100, min_open=True, max_open=True),
        metavar="PERCENT",
        help="Pause when so much of the documents is embedded, to have a look.",
    )
    return budget(until(command))
