"""ASGI middleware around every request: request id, context, client address, headers, tracing and log line."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from uuid_utils import uuid7

from host.client_address import client_address
from host.contracts import API_BASE, Origin
from host.execution_context import NOBODY, ExecutionContext, use_context
from host.log import request_line, who
from host.tracing import Tracing
from host.web.routes import openapi_path
from host.web.server.headers import HeaderRules, request_id_of
from host.web.server.request_metrics import counted
from host.web.server.request_state import ANONYMOUS, KEY, RequestState

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_BEGINS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class Pipeline:
    """ASGI middleware around the Quart application.

    bound: context manager that binds this application's services. proxies: number of trusted proxies in front, for the
    client's address. tracing: makes a span for each request; None where tracing is switched off.
    """

    def __init__(
        self,
        app: AsgiApp,
        rules: HeaderRules,
        bound: Callable[[], AbstractContextManager[None]],
        proxies: int,
        tracing: Tracing | None = None,
    ) -> None:
        self._app, self._rules, self._bound, self._proxies = app, rules, bound, proxies
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] in ("http", "websocket"):
            await self._request(scope, receive, send)
        else:
            with self._bound():
                await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        scope.setdefault("method", "GET")  # a WebSocket's
        headers = dict(scope["headers"])
        state = RequestState(request_id_of(headers.get(b"x-request-id")) or str(uuid7()), headers, self._address(scope))
        scope[KEY] = state
        scope["client"] = (state.address, 0)
        origin = Origin(state.request_id, ANONYMOUS, state.address)
        with (
            self._bound(),
            use_context(ExecutionContext(origin, None, NOBODY, "host")),
            counted(state, scope["method"], began),
        ):
            try:
                if self._tracing is None:
                    await self._answer(scope, receive, send)
                else:
                    await self._traced(self._tracing, scope, receive, send)
            finally:
                _write_line(scope, state, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: RequestState = scope[KEY]
        try:
            await self._app(scope, receive, self._decorated(send, state))
        except Exception:
            if state.status and not state.client_left:  # the answer breaks off, whatever its head said
                state.status = 500
            raise

    async def _traced(self, tracing: Tracing, scope: Scope, receive: Receive, send: Send) -> None:
        state: RequestState = scope[KEY]
        with tracing.request(scope["method"], state.headers) as span:
            state.trace = tracing.trace_id()
            # https://www.w3.org/TR/trace-context-2/ names the answer's header; its value is written as traceparent's
            state.response_headers.append((b"traceresponse", tracing.headers()["traceparent"].encode()))
            try:
                await self._answer(scope, receive, send)
            finally:
                if span.is_recording():
                    if state.route:
                        span.update_name(f"{scope['method']} {_pattern(state)}")
                    span.set_attributes(_described(state))
                    if state.status >= 500 or not state.status:
                        tracing.failed(span, str(state.status or "interrupted"))

    def _decorated(self, send: Send, state: RequestState) -> Send:
        async def decorated(message: Message) -> None:
            if message["type"] in _BEGINS:
                state.status = message.get("status", 101)
                if state.status == 101:
                    state.accepted_at = time.perf_counter()
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", state.request_id.encode()),
                    *state.response_headers,
                    *self._rules.for_answer(state.headers),
                ]
            try:
                await send(message)
            except OSError:  # how servers say it, if they do
                state.client_left = True
                raise

        return decorated

    def _address(self, scope: Scope) -> str:
        peer = str((scope.get("client") or ("",))[0])
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"] if self._proxies else ()
        return client_address(peer, forwarded, self._proxies)


def _described(state: RequestState) -> dict[str, str | int]:
    """A request's span attributes; never its path or address, which may hold tokens or personal data."""
    attributes: dict[str, str | int] = {
        "http.route": _pattern(state) if state.route else "",
        "http.response.status_code": state.status,
        "tenantry.request": state.request_id,
        "tenantry.operation": state.operation,
        "tenantry.plugin": state.plugin,
        "tenantry.tenant": str(state.tenant_id or ""),
    }
    return {name: value for name, value in attributes.items() if value}


def _write_line(scope: Scope, state: RequestState, seconds: float) -> None:
    fields: dict[str, str | int | float | UUID] = {
        "request": state.request_id,
        "status": state.status,
        "ms": round(seconds * 1000, 1),
        "operation": state.operation,
    }
    if state.closed:
        fields["closed"] = state.closed
    if state.plugin:
        fields["plugin"] = state.plugin
    if state.trace:
        fields["trace"] = state.trace
    if state.tenant_id is not None:
        fields["tenant"] = state.tenant_id
    fields.update(who(state.actor))
    request_line(f"{scope['method']} {_pattern(state)}", fields)


def _pattern(state: RequestState) -> str:
    """The path as its route declares it; a requested path is never shown, matched or not: it may hold a token."""
    if state.route:
        return f"{API_BASE}{openapi_path(state.route)}"
    kind, _, address = state.operation.partition(" ")
    return address if kind == "page" else "(no such route)"
