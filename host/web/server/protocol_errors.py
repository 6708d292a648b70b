"""Errors of the server itself: what Hypercorn refuses before any application sees it, told as everything else is."""

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
    """Hypercorn's HTTP/1.1, strict in what it reads, with a body in its own refusals, which otherwise have none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connection = StrictConnection(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Begin HTTP/2 for those who know that it is spoken here, never by an upgrade.

        An upgrade carried through a proxy would open a way past the proxy's rules; RFC 9110, section 7.8, lets a server
        ignore it.
        """
        if event.method == b"PRI":
            await super()._check_protocol(event)

    async def _send_error_response(self, status_code: int) -> None:
        fault = getattr(self.connection, "fault", "") or _MESSAGES.get(status_code)
        error = BadRequest(fault or "The request is not HTTP/1.1 as it should be.")
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
    """Have Hypercorn, in this process, tell its own refusals as the API's error document.

    Hypercorn has no place to plug this in: the class it makes for each connection is replaced. Called once, by
    whatever starts the server.
    """
    protocol.H11Protocol = ErrorDocumentH11Protocol  # type: ignore[attr-defined]
