"""A judgement in words, for a terminal."""

from collections.abc import Iterator

from orchestrator.validation import ruler
from orchestrator.validation.index_recall import IndexRecall
from orchestrator.validation.quality import Quality
from orchestrator.validation.verdict import Verdict

# The list of queries under the threshold is whole in --json
_LISTED = 10


def lines(verdict: Verdict) -> Iterator[str]:
    census, found = verdict.census, verdict.identity
    yield (
        f"integrity   {census.documents:,} documents: {census.embedded:,} embedded, {census.pending:,} missing, "
        f"{census.stale:,} stale, {census.invalid:,} invalid, {census.without_text:,} without text"
    )
    whole = verdict.integrity
    yield (
        f"            {whole.dimensions:,} dimensions, {whole.dead_dimensions:,} without variance; vectors of length "
        f"{whole.norm_mean:.3f}, deviation {whole.norm_deviation:.3f}"
    )
    if verdict.again.tested:
        yield (
            f"            {verdict.again.tested} embedded again, {len(verdict.again.differing)} differing "
            f"(cosine {verdict.again.lowest:.4f} at worst)"
        )
    if found.tested:
        yield (
            f"identity    {found.found:,} of {found.tested:,} tested documents have their own vector "
            f"({100 * found.low:.0f} to {100 * found.high:.0f} %)"
        )
    else:
        yield "identity    not tested: too few documents to say anything"
    yield from _overlap(verdict)
    yield from _slices(verdict)
    yield from _shift(verdict)
    yield from _index(verdict.index)
    yield from _quality(verdict.quality)
    for note in verdict.notes:
        yield f"note        {note}"
    for warning in verdict.warnings:
        yield f"warning     {warning}"
    for fault in verdict.faults:
        yield f"FAULT       {fault}"
    yield "PASSED" if verdict.passed else "NOT PASSED"


def _slices(verdict: Verdict) -> Iterator[str]:
    found = verdict.slices
    if found is None:
        return
    left_out = f"; {found.too_small:,} are too small to say anything" if found.too_small else ""
    yield f"slices      by {found.column}, the worst first{left_out}:"
    for one in found.measured[:_LISTED]:
        yield (
            f"              {one.overlap:.3f} (between {one.low:.3f} and {one.high:.3f}; {one.documents:,} documents)  "
            f"{one.name}"
        )


def _index(measured: IndexRecall | None) -> Iterator[str]:
    if measured is None:
        return
    bounded = (
        ""
        if measured.searched >= measured.documents
        else f"; exactly among about {measured.searched:,} documents"
    )
    yield f"index       finds of the nearest {measured.k}, by {measured.queries:,} queries{bounded}:"
    for side, curve in (("old", measured.old), ("new", measured.new)):
        if curve is not None:
            found = ", ".join(
                f"{100 * point.recall:.1f} %{' (in use)' if point.value == curve.in_use else ''} at {point.value}"
                for point in curve.points
            )
            yield f"              {side}  {curve.parameter}: {found}"


def _shift(verdict: Verdict) -> Iterator[str]:
    if verdict.shift is not None:
        yield "similarity  of the results, old and new; a threshold of yours has to move with it:"
        for one in verdict.shift.equivalents:
            yield (
                f"              {one.old:.3f} is {one.new:.3f} now (95 % between {one.low:.3f} and {one.high:.3f}; "
                f"keeps {100 * one.kept:.0f} % of the results)"
            )
    if verdict.old_latency and verdict.new_latency:
        old, new = verdict.old_latency, verdict.new_latency
        yield (
            f"latency     {old.median:.1f} ms to {new.median:.1f} ms a search, {old.p95:.1f} to {new.p95:.1f} at p95"
        )


def _quality(quality: Quality | None) -> Iterator[str]:
    if quality is None:
        yield "quality     not judged: that needs judgements of relevance (`reembed validate --queries F --qrels F`)"
        return
    yield (
        f"quality     nDCG@10 {quality.old.ndcg_at_10:.3f} to {quality.new.ndcg_at_10:.3f}: {quality.difference:+.3f} "
        f"(95 % between {quality.low:+.3f} and {quality.high:+.3f}; {quality.queries:,} judged queries)"
    )
    for name, old, new in (
        ("recall@10", quality.old.recall_at_10, quality.new.recall_at_10),
        ("recall@100", quality.old.recall_at_100, quality.new.recall_at_100),
        ("MRR", quality.old.mrr, quality.new.mrr),
    ):
        yield f"            {name:<11}{old:.3f} to {new:.3f}"
    yield (
        f"            {quality.wins:,} queries win, {quality.ties:,} tie, {quality.losses:,} lose; "
        f"chance alone: p = {quality.p:.4f}"
    )
    words = {
        "go": f"GO: it loses no more than {quality.margin}",
        "stop": f"STOP: it loses more than {quality.margin}",
        "inconclusive": f"INCONCLUSIVE at a margin of {quality.margin}",
    }
    more = (
        f"; about {quality.more_queries:,} more judged queries would decide" if quality.more_queries else ""
    )
    yield f"            {words[quality.verdict]}{more}"
    if quality.worst:
        listed = ", ".join(
            f"{query.id} ({query.old:.2f} to {query.new:.2f})" for query in quality.worst[:_LISTED]
        )
        yield f"            lose most: {listed}"


def _overlap(verdict: Verdict) -> Iterator[str]:
    measured = verdict.overlap
    if measured is None:
        yield "overlap     not measured: no document has both vectors"
        return
    kind = "queries" if verdict.mode == "queries" else "documents as queries"
    yield (
        f"overlap@{verdict.k:<4}{measured.mean:.3f} (95 % between {measured.low:.3f} and {measured.high:.3f}; "
        f"{measured.queries:,} {kind})"
    )
    yield "            a description, not a verdict; for comparison:"
    for mark in ruler.RULER:
        span = (
            f"{mark.lowest:.2f} to {mark.highest:.2f}" if mark.lowest < mark.highest else f"{mark.lowest:.2f}"
        )
        yield f"              {span:<14}{mark.disturbance}"
    low = measured.under
    if low:
        yield f"            {len(low):,} under {measured.threshold}, the worst first:"
        for query, value in low[:_LISTED]:
            yield f"              {value:.2f}  {'query' if verdict.mode == 'queries' else 'document'} {query}"
        if len(low) > _LISTED:
            yield f"              ... and {len(low) - _LISTED:,} more in `reembed validate --json`"
