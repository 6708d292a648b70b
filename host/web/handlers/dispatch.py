"""Take one request from admission through its handler to its response, within a time limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from host.contracts import Events, Route
from host.errors import Conflict, UpgradeRequired
from host.web.admission.admission import Admission
from host.web.handlers.binding import Binder, compile
from host.web.handlers.event_streams import EventStreams
from host.web.handlers.idempotency import IdempotencyKeys, attempt_of
from host.web.handlers.refused_actions import record_refused_action
from host.web.responses.reply import NO_STORE, Reply
from host.web.responses.serialization import shape
from host.web.server.deadline import HandlerDeadline
from host.web.server.request import TenantryRequest
from host.web.server.request_state import request_state_of


class Dispatcher:
    """Answers a matched request; the Quart application calls it for every route.

    timeout: seconds a handler may take, see `HandlerDeadline`; a streamed answer may go on longer. secret: the
    deployment's, from which the keys of stored answers are derived.
    """

    def __init__(
        self,
        admission: Admission,
        routes: Iterable[tuple[str, Route]],
        timeout: float,
        secret: bytes,
        event_streams: EventStreams,
    ) -> None:
        self._admission, self._timeout, self._event_streams = admission, timeout, event_streams
        self._keys = IdempotencyKeys(timeout, secret)
        self._binders: dict[int, Binder] = {id(route): compile(route) for _, route in routes}

    async def __call__(self, route: Route, plugin: str, request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
        """Answer one request.

        Raises:
            ApiError: the refusal of admission or of the handler.
        """
        try:
            return await self._answer(route, plugin, request, params)
        except Exception as error:
            await record_refused_action(route, plugin, error, params)
            raise

    async def _answer(self, route: Route, plugin: str, request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
        state = request_state_of(request)
        await self._admission.admit(route, plugin, state, params)
        if route.socket:
            raise UpgradeRequired
        if route.effects:
            if request.method == "HEAD":
                return Reply(204, [NO_STORE])
            _check_wanted(request)
        attempt = await attempt_of(request, route, state.actor)
        if attempt is not None:
            return await self._keys.once(attempt, lambda: self._run(route, plugin, request, params))
        async with HandlerDeadline(self._timeout) as request.deadline:
            return await self._run(route, plugin, request, params)

    async def _run(self, route: Route, plugin: str, request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
        result = await self._binders[id(route)](request, params)
        if isinstance(result, Events):
            return await self._event_streams.reply(result, route, plugin, request, params)
        return shape(result, request.raw_headers, route, request.query_string, request.method)


def _check_wanted(request: TenantryRequest) -> None:
    """Refuse a browser's prefetch of a route with effects; the browser asks again when somebody follows the link.

    Raises:
        Conflict: the request says that it is a prefetch or preview (https://wicg.github.io/nav-speculation/prefetch.html).
    """
    for name in (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"):
        if request.raw_headers.get(name, b"").lower().startswith((b"prefetch", b"preview", b"prerender")):
            raise Conflict("This request has effects and is not answered ahead of time; send it without prefetching.")
