"""Where Prometheus reads the metrics: a small HTTP server in a thread of its own."""

from __future__ import annotations

import socket
import threading
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from dreamenv_server.address import Address
from dreamenv_server.metrics import Metrics

SILENCE_SECONDS = 10.0


class _Quiet(WSGIRequestHandler):
    timeout = SILENCE_SECONDS  # a connection that says nothing does not keep its thread

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each read."""


class _V6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class MetricsDoor:
    """Serves metrics over HTTP, at ``/metrics``. Anyone who reaches the address may read them."""

    def __init__(self, metrics: Metrics, address: str) -> None:
        """Bind and serve; port 0 chooses one.

        Raises:
            ValueError: it is no address.
            OSError: the address cannot be bound.
        """
        where = Address.parse(address, "metrics-address")
        kind = _V6 if ":" in where.host else ThreadingWSGIServer
        app = make_wsgi_app(metrics.registry)
        try:
            self._server = make_server(where.host, where.port, app, kind, handler_class=_Quiet)
        except OSError as error:
            raise OSError(
                f"metrics-address: {address} cannot be bound: {error.strerror or error}"
            ) from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
