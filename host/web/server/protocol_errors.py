"""Answer requests that Hypercorn itself refuses with the API's JSON error document."""

from __future__ import annotations

from typing import Any

import h11
from hypercorn import protocol
from hypercorn.protocol.h11 import H11Protocol
from uuid_utils.compat import uuid7

from host.errors import BadRequest
from host.web.responses.error_documents import document
from host.web.server.framing import StrictConnection

_MESSAGES = {
    431: "The request's headers are too large.",
    501: "Only the chunked transfer coding is understood.",
}


class ErrorDocumentH11Protocol(H11Protocol):
    """Hypercorn's HTTP/1.1 with strict parsing, and an error document in its own refusals, which have no body."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connection = StrictConnection(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Start HTTP/2 for clients that open the connection with it, never by an upgrade.

        An upgrade that a proxy forwards would bypass the proxy's rules; RFC 9110, section 7.8, lets a server
        ignore it.
        """
        if event.method == b"PRI":
            await super()._check_protocol(event)

    async def _send_error_response(self, status_code: int) -> None:
        fault = getattr(self.connection, "fault", "") or _MESSAGES.get(status_code)
        error = BadRequest(fault or "The request is not valid HTTP/1.1.")
        error.status = status_code if status_code < 500 else 400
        request_id = str(uuid7())
        reply = document(error, None, request_id)
        headers = [
            *reply.headers,
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=error.status, headers=headers))
        assert isinstance(reply.body, bytes)
        await self._send_h11_event(h11.Data(data=reply.body))
        await self._send_h11_event(h11.EndOfMessage())


def install_protocol_errors() -> None:
    """Make Hypercorn, in this process, answer its own refusals with the API's error document.

    Hypercorn has no setting for this: the class that it instantiates for each connection is replaced. Called once, by
    whatever starts the server.
    """
    protocol.H11Protocol = ErrorDocumentH11Protocol  # type: ignore[attr-defined]
