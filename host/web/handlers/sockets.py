"""Admit WebSockets (by header, one-time ticket or first message), run their handlers, and end them with the right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from host.client_address import counted_as
from host.contracts import API_BASE, Route
from host.errors import ApiError, PermissionDenied, Unauthenticated, Unavailable
from host.identity.tickets import take_ticket
from host.live.open_streams import OpenStreams
from host.live.rights import RightsWatch
from host.web.admission.admission import Admission
from host.web.handlers.binding import Binder, compile
from host.web.handlers.refused_actions import record_refused_action
from host.web.server.headers import HeaderRules
from host.web.server.request import TenantryRequest
from host.web.server.request_state import RequestState, request_state_of
from host.web.server.websocket import GOING_AWAY, Socket, closing_of

FIRST_WITHIN = 10.0
"""Seconds in which a socket that was opened without a credential must say who it is."""

_FIRST = 'Send {"token": "…", "tenant": "slug"} as the first message'


class _First(BaseModel):
    """The first message of a socket that was opened without a credential."""

    model_config = ConfigDict(extra="forbid")
    token: str
    tenant: str = ""


class Sockets:
    """Serves WebSockets; the Quart application calls it for every route that is one.

    timeout: seconds in which a handler must begin to use its socket.
    """

    def __init__(
        self,
        admission: Admission,
        routes: Iterable[tuple[str, Route]],
        *,
        rules: HeaderRules,
        rights: RightsWatch,
        open_streams: OpenStreams,
        timeout: float,
    ) -> None:
        self._admission, self._rules, self._rights = admission, rules, rights
        self._open_streams, self._timeout = open_streams, timeout
        self._binders: dict[int, Binder] = {id(route): compile(route) for _, route in routes if route.socket}

    async def __call__(
        self, route: Route, plugin: str, request: TenantryRequest, path: Mapping[str, Any], socket: Socket
    ) -> None:
        """Serve one socket to its end.

        Raises:
            ApiError: the refusal of admission or of the handler.
        """
        state = request_state_of(request)
        state.plugin, state.route = plugin, route.path
        try:
            self._check_origin(state)
            await _use_ticket(request, state)
            if not route.public and not await self._admission.has_credential(state):
                await self._introduced(socket, state)
            await self._admission.admit(route, plugin, state, path)
            await self._run(route, plugin, request, path, socket)
        except Exception as error:
            await record_refused_action(route, plugin, error, path)
            raise

    def _check_origin(self, state: RequestState) -> None:
        allowed = self._rules.lets_in(state.headers)
        if allowed == "no":
            raise PermissionDenied(
                "Pages of this origin may not connect; the deployment's cors.origins names those that may.",
                details={"origin": state.header(b"origin")},
            )
        if allowed == "without cookies":
            state.headers = {name: value for name, value in state.headers.items() if name != b"cookie"}

    async def _introduced(self, socket: Socket, state: RequestState) -> None:
        """Let the first message say who is asking; few of one address wait for it at a time."""

        async def always() -> bool:
            return True

        with self._rights.watching(None, None, always, lambda: socket.end(GOING_AWAY)):
            async with self._open_streams.opened(f"address {counted_as(state.address)}"):
                text = await socket.first(FIRST_WITHIN)
        if text is None:
            raise Unauthenticated(f"{_FIRST}, within {FIRST_WITHIN:g} seconds.")
        try:
            first = _First.model_validate_json(text)
            headers = {b"authorization": f"Bearer {first.token}".encode("latin-1")}
            if first.tenant:
                headers[b"x-tenant"] = first.tenant.encode("latin-1")
        except (ValidationError, UnicodeEncodeError):
            raise Unauthenticated(f"{_FIRST}.") from None
        state.headers = {**state.headers, **headers}

    async def _run(
        self, route: Route, plugin: str, request: TenantryRequest, path: Mapping[str, Any], socket: Socket
    ) -> None:
        state = request_state_of(request)
        actor, ended = state.actor, [GOING_AWAY]

        async def admitted() -> bool:
            try:
                await self._admission.readmit(route, plugin, state, path)
            except ApiError as refusal:
                if type(refusal) is not Unavailable:  # then it is asked again
                    ended[0] = closing_of(refusal)
                raise
            return True

        async with self._open_streams.opened(str(actor.user_id or actor.id or state.address)):
            with self._rights.watching(state.tenant_id, actor.user_id, admitted, lambda: socket.end(ended[0])):
                await socket.run(self._binders[id(route)](request, path), self._timeout)


async def _use_ticket(request: TenantryRequest, state: RequestState) -> None:
    """Put the credential that the address' ticket stands for in its place; the handler does not see the ticket."""
    if b"ticket=" not in request.query_string:
        return
    pairs = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    ticket = await take_ticket(dict(pairs).get("ticket", ""), request.path.removeprefix(API_BASE))
    rest = urlencode([(name, value) for name, value in pairs if name != "ticket"], encoding="latin-1")
    request.query_string = rest.encode()
    named = {b"authorization": ticket.authorization.encode("latin-1"), b"x-tenant": ticket.tenant.encode()}
    state.headers = {**state.headers, **named}
