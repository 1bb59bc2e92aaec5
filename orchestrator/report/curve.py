"""What an index finds at each width of its search, old and new, as SVG."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from orchestrator.report import charts

_HEIGHT = 190
_LEFT, _RIGHT, _TOP = 78, 24, 14
_TICKS = 5


def draw(curves: Mapping[str, Mapping[str, Any]]) -> Markup:
    """By the name of each column: its points, as `validate --json` has them, all with one parameter."""
    values = sorted({point["value"] for curve in curves.values() for point in curve["points"]})
    lows = [point["low"] for curve in curves.values() for point in curve["points"]]
    # From a whole tenth, so that a good index is no line along the top
    floor = min(int(min(lows) * 10) / 10, 0.9)

    def across(value: int) -> float:
        # In even steps: each is about twice the one before
        place = values.index(value) / max(len(values) - 1, 1)
        return _LEFT + (charts.WIDTH - _LEFT - _RIGHT) * place

    def down(share: float) -> float:
        return _TOP + _HEIGHT * (1 - (share - floor) / (1 - floor))

    drawn = []
    for step in range(_TICKS + 1):
        share = floor + (1 - floor) * step / _TICKS
        drawn.append(_line("grid", _LEFT, down(share), charts.WIDTH - _RIGHT, down(share)))
        drawn.append(charts.text(_LEFT - 8, down(share) + 4, f"{100 * share:.0f} %", "end", "small"))
    drawn += [
        charts.text(across(value), _TOP + _HEIGHT + 20, f"{value:,}", "middle", "small") for value in values
    ]
    for name, curve in curves.items():
        drawn += _side(name, curve["points"], across, down)
    told = "; ".join(
        f"{name}: {100 * curve['points'][0]['recall']:.0f} to {100 * curve['points'][-1]['recall']:.0f} %"
        for name, curve in curves.items()
    )
    parameter = next(iter(curves.values()))["parameter"]
    return charts.svg(_TOP + _HEIGHT + 28, f"Nearest documents found, by {parameter}: {told}", drawn)


def _side(
    name: str,
    points: Sequence[Mapping[str, Any]],
    across: Callable[[int], float],
    down: Callable[[float], float],
) -> list[Markup]:
    places = [(across(point["value"]), point) for point in points]
    drawn = [_line(name, x, down(point["low"]), x, down(point["high"])) for x, point in places] + [
        _line(name, x, down(point["recall"]), following, down(later["recall"]))
        for (x, point), (following, later) in itertools.pairwise(places)
    ]
    for x, point in places:
        told = f"{name}, {point['value']:,}: {100 * point['recall']:.1f} %"
        shape = (
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="10" height="10"><title>{}</title></rect>'
            ).format(f"dot {name}", x - 5, down(point["recall"]) - 5, told)
            if name == "old"
            else Markup(
                '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="5.5"><title>{}</title></circle>'
            ).format(f"dot {name}", x, down(point["recall"]), told)
        )
        drawn.append(shape)
    return drawn


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
        kind, x1, y1, x2, y2
    )
