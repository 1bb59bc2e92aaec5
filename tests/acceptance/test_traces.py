"""Traces of a real worker, as a collector receives them."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from psycopg import sql

from tests import installation
from tests.installation import Installation


class Collector(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.services: set[str] = set()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        """OTLP over HTTP, in protobuf."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.services |= {
                one.value.string_value for one in of_resource.resource.attributes if one.key == "service.name"
            }
            for scope in of_resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to stderr."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def attributes(span: Span) -> dict[str, object]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_chunk_is_a_trace_with_its_requests_and_commits(
    new_installation: Callable[..., Installation], collector: Collector
) -> None:
    made = new_installation(
        CHUNK_SIZE="40",
        EMBED_BATCH_SIZE="20",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
    )
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(40), indexed=False)
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
