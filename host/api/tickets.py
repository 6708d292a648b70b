"""`POST /tickets`: a one-time ticket with which a browser opens a WebSocket."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from host.errors import Conflict
from host.identity.tickets import SECONDS, Ticket, make_ticket
from host.services import tenant
from host.web.handlers.binding import RequestFacts
from host.web.routes import Routes

routes = Routes()


class NewTicket(BaseModel):
    """The socket to open: its path below /api/v1, such as `/echo`."""

    model_config = ConfigDict(extra="forbid")
    path: Annotated[str, Field(pattern="^/", max_length=1000)]


class MadeTicket(BaseModel):
    """A ticket; it works once, within `expires_in` seconds."""

    ticket: str
    expires_in: int


@routes.post("/tickets", name="tickets.create", signed_in=True, returns=MadeTicket, refusals=(409,))
async def create_ticket(body: NewTicket, request: RequestFacts) -> MadeTicket:
    """Take a ticket for a WebSocket.

    It opens the socket at `path` as whoever asks, in this organisation, once and within 30 seconds: connect to
    `wss://…/api/v1{path}?ticket={ticket}`. Whatever ends the token or key ends the socket too.
    """
    authorization = request.headers.get("authorization")
    if authorization is None:
        raise Conflict("A ticket stands for an access token or API key; send it as `Authorization: Bearer …`.")
    ticket = Ticket(authorization, (await tenant()).slug, body.path)
    return MadeTicket(ticket=await make_ticket(ticket), expires_in=SECONDS)
