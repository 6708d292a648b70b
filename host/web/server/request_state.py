"""The state of one HTTP request: id, client address, tenant, actor, route, response headers and status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from host.contracts import Actor
from host.web.server.request import TenantryRequest

ANONYMOUS = Actor("anonymous")
KEY = "tenantry.request_state"
"""The key under which the ASGI scope holds it."""


@dataclass(slots=True, eq=False)
class RequestState:
    """One request; the pipeline, admission and the handler each fill in what they find out.

    Attributes:
        tenant: the organisation's slug.
        headers: by lower-case name.
        address: the client's, as reported by the trusted proxies.
        response_headers: headers to add to the response.
        route: the path as the route declares it, below /api/v1; empty until one matches.
        trace: the id of the request's trace; empty where tracing is switched off.
        status: the response's; 0 until the response begins, 500 when it breaks off after its head was sent.
        client_left: whether the server said, when it sent, that nobody listens any more.
        accepted_at: when a WebSocket was accepted, by `perf_counter`. closed: the code with which it was closed.
    """

    request_id: str
    headers: Mapping[bytes, bytes]
    address: str
    tenant_id: UUID | None = None
    tenant: str = ""
    plugin: str = ""
    operation: str = ""
    route: str = ""
    trace: str = ""
    actor: Actor = ANONYMOUS
    status: int = 0
    client_left: bool = False
    accepted_at: float = 0.0
    closed: int = 0
    response_headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def header(self, name: bytes) -> str:
        """A header by its lower-case name; empty when it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")


def known_request_state(request: TenantryRequest) -> RequestState | None:
    """The state of a request; None where no pipeline wraps the application, as in some tests."""
    return cast("RequestState | None", cast("dict[str, Any]", request.scope).get(KEY))


def request_state_of(request: TenantryRequest) -> RequestState:
    """The state of a request."""
    return cast(RequestState, cast("dict[str, Any]", request.scope)[KEY])
