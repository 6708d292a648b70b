"""One HTTP request as the pipeline and the checkpoint know it: what is found out about it on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from host.contracts import Actor
from host.web.request import TenantryRequest

ANONYMOUS = Actor("anonymous")
KEY = "tenantry.visit"
"""Where the ASGI scope keeps the visit."""


@dataclass(slots=True)
class Visit:
    """Filled in step by step.

    Attributes:
        headers: by lower-case name.
        address: the client's, behind the proxies that are believed.
        response_headers: what the steps want the answer to carry.
        status: the answer's; 0 until it begins.
    """

    request_id: str
    headers: Mapping[bytes, bytes]
    address: str
    tenant_id: UUID | None = None
    plugin: str = ""
    operation: str = ""
    actor: Actor = ANONYMOUS
    status: int = 0
    response_headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def header(self, name: bytes) -> str:
        """A header by its lower-case name; empty when it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")


def visit_of(request: TenantryRequest) -> Visit:
    """The visit that a request is."""
    return cast(Visit, cast("dict[str, Any]", request.scope)[KEY])
