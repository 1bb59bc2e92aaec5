"""Numbers as they are typed: what is wanted is said in words, not in click's ranges."""

import math
from typing import Any

import click


class Number(click.FloatRange):
    """One that can be counted to; bounds, where there are any, are outside of what is wanted."""

    def __init__(self, above: float | None = None, below: float | None = None) -> None:
        super().__init__(min=above, max=below, min_open=above is not None, max_open=below is not None)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        bounds = [
            f"{name} {bound:g}"
            for name, bound in (("above", self.min), ("below", self.max))
            if bound is not None
        ]
        try:
            number: float = super().convert(value, param, ctx)
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            self.fail(
                " ".join([f"'{value}' is not a number", " and ".join(bounds)]).rstrip() + ".", param, ctx
            )
        return number


class Whole(click.IntRange):
    """One between these two, or from the first on."""

    def __init__(self, least: int, most: int | None = None) -> None:
        super().__init__(min=least, max=most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        bounds = f"from {self.min:,} on" if self.max is None else f"from {self.min:,} to {self.max:,}"
        try:
            number: int = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"'{value}' is not a whole number {bounds}.", param, ctx)
        return number
