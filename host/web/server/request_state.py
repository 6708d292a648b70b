"""One HTTP request as the pipeline and the checkpoint know it: what is found out about it on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from host.contracts import Actor
from host.web.server.request import TenantryRequest

ANONYMOUS = Actor("anonymous")
KEY = "tenantry.request_state"
"""Where the ASGI scope keeps it."""


@dataclass(slots=True, eq=False)
class RequestState:
    """Filled in step by step.

    Attributes:
        tenant: the organisation's slug.
        headers: by lower-case name.
        address: the client's, behind the proxies that are believed.
        response_headers: what the steps want the answer to carry.
        route: the path as the route declares it, below /api/v1; empty until one is found.
        trace: the id of its trace; empty where tracing is switched off.
        status: the answer's; 0 until it begins.
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
    response_headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def header(self, name: bytes) -> str:
        """A header by its lower-case name; empty when it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")


def known_request_state(request: TenantryRequest) -> RequestState | None:
    """The state of a request; None where there is no pipeline around the application."""
    return cast("RequestState | None", cast("dict[str, Any]", request.scope).get(KEY))


def request_state_of(request: TenantryRequest) -> RequestState:
    """The state of a request."""
    return cast(RequestState, cast("dict[str, Any]", request.scope)[KEY])
