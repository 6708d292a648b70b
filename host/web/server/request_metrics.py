"""Count HTTP requests and measure their duration by operation, method, status and plugin."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType

from host.instruments import REST, meter
from host.web.server.request_state import RequestState

UNMATCHED = "unmatched"
"""The operation label of requests that match no route, or only one with another method."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LEFT = "499"  # the client left before there was a status; nginx made this number the usual one


class counted:  # noqa: N801 - a context manager used like a function, and cheaper than one made of a generator
    """Counts and times the request that is answered in the block."""

    __slots__ = ("_began", "_meter", "_method", "_state")

    def __init__(self, state: RequestState, method: str, began: float) -> None:
        """began: when the request arrived, by `perf_counter`."""
        self._state, self._method, self._began = state, method, began
        self._meter = meter()

    def __enter__(self) -> None:
        if self._meter is not None:
            self._meter.ongoing.add(self._state)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        meter, state = self._meter, self._state
        if meter is None:
            return
        meter.ongoing.discard(state)
        seconds = (state.accepted_at or perf_counter()) - self._began  # a socket is answered when it is accepted
        operation = state.operation or UNMATCHED
        requests = meter.counters.get("tenantry_http_requests_total")
        if requests is not None:
            method = self._method if self._method in _METHODS else REST
            status = str(state.status) if state.status else _LEFT
            requests[operation, method, status, state.plugin or "host"].inc()
            meter.histograms["tenantry_http_request_duration_seconds"][operation,].observe(seconds)
        if state.tenant_id is not None:
            meter.served(state.tenant_id, state.tenant, state.status or 499, seconds)
