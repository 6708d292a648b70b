"""Counting requests: how many, how they ended and how long they took, by operation; never by what a client made up."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType

from host.instruments import REST, meter
from host.web.visit import Visit

UNMATCHED = "unmatched"
"""The operation of a path that no route has, or not with that method."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LEFT = "499"  # the client left before there was a status; nginx made this number the usual one


class counted:  # noqa: N801 - a context manager used like a function, and cheaper than one made of a generator
    """One request is being answered in the block, and is counted after it."""

    __slots__ = ("_began", "_meter", "_method", "_visit")

    def __init__(self, visit: Visit, method: str, began: float) -> None:
        """began: by `perf_counter`."""
        self._visit, self._method, self._began = visit, method, began
        self._meter = meter()

    def __enter__(self) -> None:
        if self._meter is not None:
            self._meter.ongoing.add(self._visit)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        meter, visit = self._meter, self._visit
        if meter is None:
            return
        meter.ongoing.discard(visit)
        seconds = perf_counter() - self._began
        operation = visit.operation or UNMATCHED
        requests = meter.counters.get("tenantry_http_requests_total")
        if requests is not None:
            method = self._method if self._method in _METHODS else REST
            status = str(visit.status) if visit.status else _LEFT
            requests.add((operation, method, status, visit.plugin or "host"))
            meter.histograms["tenantry_http_request_duration_seconds"].observe((operation,), seconds)
        if visit.tenant_id is not None:
            meter.served(visit.tenant_id, visit.tenant, visit.status or 499, seconds)
