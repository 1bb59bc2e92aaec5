"""metrics: the ledger for Prometheus."""

from contextlib import suppress

import click
import prometheus_client

from config.settings import Settings
from orchestrator import exporter
from orchestrator.command import amounts
from reembed import errors


class CannotListen(errors.Usage):
    """Nothing can listen on {host}:{port}: {reason}.

    Choose another with --port or --host.
    """


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=9464, show_default=True, type=amounts.Whole(1, 65_535), help="Port to listen on."
)
def metrics(host: str, port: int) -> None:
    """Tell Prometheus what the ledger says, at /metrics, until Ctrl-C."""
    settings = Settings.load()
    registry = prometheus_client.CollectorRegistry(auto_describe=False)
    registry.register(exporter.Ledger(settings))
    try:
        server, thread = prometheus_client.start_http_server(port, host, registry)
    except OSError as error:
        raise CannotListen(host=host, port=port, reason=error.strerror or error) from None
    click.echo(f"http://{host}:{port}/metrics", err=True)
    try:
        with suppress(KeyboardInterrupt):
            thread.join()
    finally:
        server.shutdown()
