"""The table of the benchmarks: the median counts, and a goal that is not met says so."""

import importlib

import pytest

from benchmarks import __main__ as everything
from benchmarks.figures import Figure, Goal


@pytest.mark.parametrize(
    ("figure", "row"),
    [
        (
            Figure("speed", [13.0, 9.0, 12.5], Goal(">=", 12), " x", 1),
            "| speed | 12.5 x | 9.0 to 13.0 | >= 12 | yes |",
        ),
        (Figure("speed", [11.9], Goal(">=", 12)), "| speed | 11.90 |  | >= 12 | **no** |"),
        (Figure("CPU", [40.0], Goal("<=", 60, " µs"), " µs", 0), "| CPU | 40 µs |  | <= 60 µs | yes |"),
        (Figure("(documents/s)", [12_345.6], digits=0), "| (documents/s) | 12,346 |  |  |  |"),
    ],
)
def test_a_row_has_the_median_the_spread_and_the_goal(figure: Figure, row: str) -> None:
    assert figure.row() == row


@pytest.mark.parametrize("name", everything.MODULES)
def test_every_benchmark_measures_and_says_how_to_run_it_alone(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert callable(module.measure)
    assert f"python -m benchmarks.{name} " in (module.__doc__ or "")
