"""Errors of the server itself: what Hypercorn refuses before any application sees it, told as everything else is."""

from __future__ import annotations

import h11
from hypercorn import protocol
from hypercorn.protocol.h11 import H11Protocol
from uuid_utils.compat import uuid7

from host.errors import BadRequest
from host.web.documents import document

_MESSAGES = {
    431: "The request's headers are too large.",
    501: "Only the chunked transfer coding is understood.",
}


class TellingH11Protocol(H11Protocol):
    """Hypercorn's HTTP/1.1 with a body in its own refusals, which otherwise have none."""

    async def _send_error_response(self, status_code: int) -> None:
        error = BadRequest(_MESSAGES.get(status_code, "The request is not HTTP/1.1 as it should be."))
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


def tell_server_errors() -> None:
    """Have Hypercorn, in this process, tell its own refusals as the API's error document.

    Hypercorn has no place to plug this in: the class it makes for each connection is replaced. Called once, by
    whatever starts the server.
    """
    protocol.H11Protocol = TellingH11Protocol  # type: ignore[attr-defined]
