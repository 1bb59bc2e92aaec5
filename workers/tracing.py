"""Traces, where OpenTelemetry is installed and told where to send them; nothing, and at no cost, where it is not.

A chunk is a trace: its requests to the provider and its commits are spans in it. Who hands work to another thread hands
it the context along (contextvars).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from config.settings import Settings

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import StatusCode
except ImportError:  # the extra `tracing`
    _installed = False
else:
    _installed = True

Value = str | int | float | bool

_provider: Any = None


def begin(settings: Settings) -> None:
    """In the process that uses it: the thread that sends the spans does not survive a fork.

    Everything else is OpenTelemetry's own environment, OTEL_SERVICE_NAME and the like.
    """
    global _provider
    if not _installed or not settings.otel_exporter_otlp_endpoint:
        return
    _provider = TracerProvider(resource=Resource.create({"service.name": "reembed"}))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


def end() -> None:
    """Send what was not sent yet."""
    if _provider is not None:
        _provider.shutdown()


@contextmanager
def span(name: str, **attributes: Value) -> Iterator[dict[str, Value]]:
    """A span around a block, in the one that the context is in. What the block puts into the dict is told too.

    Of an error its type alone: a provider's words may quote a text, and PostgreSQL's a row.
    """
    found: dict[str, Value] = {}
    if _provider is None:
        yield found
        return
    tracer = _provider.get_tracer("reembed")
    with tracer.start_as_current_span(
        name, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield found
        except Exception as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            current.set_attributes(_named(found))


def _named(attributes: dict[str, Value]) -> dict[str, Value]:
    return {f"reembed.{name}": value for name, value in attributes.items()}
