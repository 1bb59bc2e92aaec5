"""A judgement as one HTML file. A function of what the ledger keeps of it, so that an old one can be drawn as well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from orchestrator.report import charts, curve
from orchestrator.report.charts import Span
from orchestrator.validation.ruler import RULER

# Queries whose results stand side by side
_SHOWN = 20
_TEXT_LENGTH = 240


@dataclass(frozen=True)
class Heading:
    """What was judged."""

    migration: int
    table: str
    old_model: str
    new_model: str
    judged_at: datetime


@dataclass(frozen=True)
class Texts:
    """Only where somebody asked for them: a report goes from hand to hand."""

    queries: Mapping[str, str] = field(default_factory=dict)
    documents: Mapping[str, str] = field(default_factory=dict)


def render(report: Mapping[str, Any], heading: Heading, texts: Texts | None = None) -> str:
    """The page; `report` is what `validate --json` prints."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = _short
    return environment.get_template("page.html").render(
        report=report,
        heading=heading,
        texts=texts or Texts(),
        with_text=texts is not None,
        low=report["low_overlap"][:_SHOWN],
        histogram=_histogram(report),
        ruler=_ruler(report),
        shift=_shift(report),
        difference=_difference(report),
        slices=_slices(report),
        norms=_norms(report),
        curves=_curves(report),
    )


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _TEXT_LENGTH else f"{words[:_TEXT_LENGTH].rstrip()} ..."


def _histogram(report: Mapping[str, Any]) -> Markup | None:
    if report["overlap_mean"] is None:
        return None
    return charts.histogram(report["overlap_histogram"], report["threshold"], report["overlap_mean"])


def _ruler(report: Mapping[str, Any]) -> Markup | None:
    if report["overlap_mean"] is None:
        return None
    low, high = report["overlap_ci95"]
    rows = [
        Span("this migration", low, high, report["overlap_mean"], "ours"),
        *(Span(mark.disturbance, mark.lowest, mark.highest) for mark in RULER),
    ]
    return charts.spans(rows, 0.0, 1.0, "The mean overlap beside what known disturbances leave")


def _shift(report: Mapping[str, Any]) -> Markup | None:
    shift = report["similarity"]
    if shift is None:
        return None
    old, new = shift["old"], shift["new"]
    rows = [Span("old model", old[0], old[-1], old[2]), Span("new model", new[0], new[-1], new[2], "ours")]
    least, most = min(old[0], new[0]), max(old[-1], new[-1])
    return charts.spans(
        rows, min(0.0, least), max(1.0, most), "Similarities of the results: 5 %, median, 95 %"
    )


def _difference(report: Mapping[str, Any]) -> Markup | None:
    quality = report["quality"]
    if quality is None:
        return None
    reach = max(abs(quality["low"]), abs(quality["high"]), quality["margin"]) * 1.2
    row = Span("new minus old, nDCG@10", quality["low"], quality["high"], quality["difference"], "ours")
    return charts.spans(
        [row], -reach, reach, "The difference, and what may be lost", limit=-quality["margin"]
    )


def _slices(report: Mapping[str, Any]) -> Markup | None:
    if report["slices"] is None or not report["slices"]["slices"]:
        return None
    rows = [
        Span(f"{one['name'][:28]} ({one['documents']:,})", one["low"], one["high"], one["overlap"], "ours")
        for one in report["slices"]["slices"][:_SHOWN]
    ]
    return charts.spans(rows, 0.0, 1.0, "Overlap by slice, the worst first")


def _norms(report: Mapping[str, Any]) -> Markup | None:
    norms = report["integrity"]["norms"]
    if not norms["new"]:
        return None
    rows = [
        Span("old model", norms["old"][0], norms["old"][-1], norms["old"][2]),
        Span("new model", norms["new"][0], norms["new"][-1], norms["new"][2], "ours"),
    ]
    most = max(norms["old"][-1], norms["new"][-1])
    return charts.spans(rows, 0.0, most * 1.1, "Lengths of the vectors: 5 %, median, 95 %")


def _curves(report: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """A chart for each parameter: both columns in one where their indexes are of one kind."""
    if report["index"] is None:
        return []
    by_parameter: dict[str, dict[str, Any]] = {}
    for side in ("old", "new"):
        if (found := report["index"][side]) and found["points"]:
            by_parameter.setdefault(found["parameter"], {})[side] = found
    return [(parameter, curve.draw(curves)) for parameter, curves in by_parameter.items()]
