"""Charts of a judgement as SVG: drawn by their own viewBox, coloured by the page, and told in words beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH = 640
_BAR_HEIGHT = 150
_BAR_FOOT = 34
_ROW = 46


@dataclass(frozen=True)
class Span:
    """One line of a chart of intervals."""

    name: str
    low: float
    high: float
    at: float | None = None
    """Where its mark stands; None: a range without one."""
    kind: str = ""
    """A class for the page to colour it by."""


def histogram(counts: Sequence[int], threshold: float, mean: float) -> Markup:
    """Queries by their overlap, from 0 to 1 in equal steps."""
    most = max(max(counts, default=0), 1)
    step = WIDTH / max(len(counts), 1)
    bars = []
    for number, count in enumerate(counts):
        height = _BAR_HEIGHT * count / most
        low, high = number / len(counts), (number + 1) / len(counts)
        kind = "under" if high <= threshold else "over"
        bars.append(
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
            ).format(
                kind,
                number * step + 2,
                18 + _BAR_HEIGHT - height,
                step - 4,
                max(height, 1),
                f"{count:,} queries between {low:.1f} and {high:.1f}",
            )
        )
        if count:
            bars.append(
                text(number * step + step / 2, 13 + _BAR_HEIGHT - height, f"{count:,}", "middle", "small")
            )
    for tick in range(0, 11, 2):
        anchor = "start" if tick == 0 else "end" if tick == 10 else "middle"
        bars.append(text(WIDTH * tick / 10, 18 + _BAR_HEIGHT + 16, f"{tick / 10:.1f}", anchor, "small"))
    marks = [
        _line(WIDTH * mean, 6, 18 + _BAR_HEIGHT, "mean"),
        _line(WIDTH * threshold, 6, 18 + _BAR_HEIGHT, "limit"),
    ]
    title = f"Overlap of {sum(counts):,} queries, mean {mean:.2f}, threshold {threshold:.2f}"
    return svg(18 + _BAR_HEIGHT + _BAR_FOOT - 10, title, [*bars, *marks])


def spans(rows: Sequence[Span], low: float, high: float, title: str, limit: float | None = None) -> Markup:
    """Intervals one below the other, on one scale."""
    reach = (high - low) or 1.0

    def place(value: float) -> float:
        return 6 + (WIDTH - 12) * min(max((value - low) / reach, 0), 1)

    drawn = []
    height = _ROW * len(rows)
    if limit is not None:
        drawn.append(_line(place(limit), 22, height, "limit"))
    for number, row in enumerate(rows):
        middle = _ROW * number + 32
        drawn.append(text(0, middle - 14, row.name, "start", ""))
        drawn.append(
            Markup('<rect class="span {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="12" rx="3"/>').format(
                row.kind, place(row.low), middle - 6, max(place(row.high) - place(row.low), 3)
            )
        )
        if row.at is not None:
            drawn.append(
                Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="5"/>').format(
                    row.kind, place(row.at), middle
                )
            )
    ticks = [low + reach * step / 4 for step in range(5)]
    for step, tick in enumerate(ticks):
        anchor = "start" if step == 0 else "end" if step == 4 else "middle"
        drawn.append(text(place(tick), height + 16, f"{tick:.2f}", anchor, "small"))
    return svg(height + 22, title, drawn)


def svg(height: float, title: str, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, title, Markup("").join(parts)
    )


def _line(at: float, top: float, bottom: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
        kind, at, at, top, bottom
    )


def text(x: float, y: float, words: str, anchor: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, words
    )
