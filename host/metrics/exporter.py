"""Answer Prometheus on a port of a worker's own, for machines that run no web process."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from host.errors import ConfigurationError
from host.metrics.metering import Metering

_log = logging.getLogger("host.metrics")


@contextmanager
def exporting(metering: Metering, host: str, port: int) -> Iterator[None]:
    """Show what all processes of this machine measure, without a token, to whoever reaches the port; 0: to nobody.

    Where another process listens there, which is the first of several workers, this one leaves it to that one.

    Raises:
        ConfigurationError: the port cannot be listened on.
    """
    if not port:
        yield
        return
    registry = CollectorRegistry()
    registry.register(metering)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ConfigurationError(
                f"[jobs] metrics_port: cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        _log.warning("another process listens on %s:%d: if that is no worker, change [jobs] metrics_port", host, port)
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
