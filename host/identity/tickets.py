"""One-time tickets that open a WebSocket in place of a token, which a browser could only send in the address."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from host.errors import Unauthenticated
from host.identity.tokens import digest
from host.services import services
from tenants.context import SYSTEM_TENANT

SECONDS = 30
"""How long a ticket may be used, once."""

KEY = "ticket:"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket stands for: the credential it was made with, for one path below /api/v1 in one organisation."""

    authorization: str
    tenant: str
    path: str


async def make_ticket(ticket: Ticket) -> str:
    """A new ticket, as text; Redis holds its digest, and what it stands for encrypted."""
    text = secrets.token_urlsafe(24)
    facts = json.dumps([ticket.authorization, ticket.tenant, ticket.path])
    stored = services().encryption.encrypt(facts, SYSTEM_TENANT, "host")
    await services().redis_client.call("SET", KEY + digest(text), stored, "EX", SECONDS)
    return text


async def take_ticket(text: str, path: str) -> Ticket:
    """What a ticket stands for; it is used up, whether it is for this path or not.

    Raises:
        Unauthenticated: it does not exist, was used before, has expired or is for another path.
    """
    stored = await services().redis_client.call("GETDEL", KEY + digest(text))
    if not isinstance(stored, bytes):
        raise Unauthenticated(f"This ticket was used before, or is older than {SECONDS} seconds; take a new one.")
    ticket = Ticket(*json.loads(services().encryption.decrypt(stored.decode(), SYSTEM_TENANT, "host")))
    if ticket.path != path:
        raise Unauthenticated("This ticket is for another address; take one for this.")
    return ticket
