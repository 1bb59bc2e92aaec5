"""Traces of a real worker, as a collector receives them."""

from collections.abc import Callable

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from psycopg import sql

from tests import collecting, installation
from tests.installation import Installation


def attributes(span: Span) -> dict[str, object]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_chunk_is_a_trace_with_its_requests_and_commits(
    new_installation: Callable[..., Installation],
) -> None:
    with collecting.spans() as collector:
        made = new_installation(
            CHUNK_SIZE="40", EMBED_BATCH_SIZE="20", OTEL_EXPORTER_OTLP_ENDPOINT=collector.address
        )
        with made.connect() as database:
            installation.make_table(
                database, sql.Identifier("documents"), installation.texts(40), indexed=False
            )
        with made.processes():
            assert made.reembed("start").code == 0
            made.wait_for(lambda status: status["state"] == "ready")
    # What a worker has not sent when it is told to end, it sends then
    (chunk,) = [span for span in collector.spans if span.name == "embed chunk"]
    parts = [span for span in collector.spans if span.parent_span_id == chunk.span_id]
    assert attributes(chunk) == {
        "reembed.migration": 1, "reembed.chunk": 1, "reembed.attempt": 1, "reembed.became": "done"
    }  # fmt: skip
    assert sorted(span.name for span in parts) == ["commit"] * 2 + ["provider request"] * 2
    assert {span.trace_id for span in parts} == {chunk.trace_id}
    assert [attributes(span)["reembed.documents"] for span in parts if span.name == "commit"] == [20, 20]
    assert all(chunk.start_time_unix_nano <= span.start_time_unix_nano for span in parts)
    assert collector.services == {"reembed"}
