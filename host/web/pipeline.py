"""The pipeline: the plain ASGI layer around every request: its id, its bindings, its headers, its one log line."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from host.client_address import client_address
from host.contracts import API_BASE, Origin
from host.log import request_line, who
from host.origin import NOBODY, Standing, standing_as
from host.tracing import Tracing
from host.web.counting import counted
from host.web.headers import HeaderRules, request_id_of
from host.web.routes import openapi_path
from host.web.visit import ANONYMOUS, KEY, Visit

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Pipeline:
    """ASGI application around the Quart application.

    bound: binds the services of this application for the block. proxies: how many proxies in front may be believed
    about the client's address. tracing: makes a span of each request; None where it is switched off.
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
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            with self._bound():
                await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers = dict(scope["headers"])
        visit = Visit(request_id_of(headers.get(b"x-request-id")) or str(uuid7()), headers, self._address(scope))
        scope[KEY] = visit
        scope["client"] = (visit.address, 0)
        origin = Origin(visit.request_id, ANONYMOUS, visit.address)
        with self._bound(), standing_as(Standing(origin, None, NOBODY, "host")), counted(visit, scope["method"], began):
            try:
                if self._tracing is None:
                    await self._app(scope, receive, self._decorated(send, visit))
                else:
                    await self._traced(self._tracing, scope, receive, send)
            finally:
                _write_line(scope, visit, time.perf_counter() - began)

    async def _traced(self, tracing: Tracing, scope: Scope, receive: Receive, send: Send) -> None:
        visit: Visit = scope[KEY]
        with tracing.request(scope["method"], visit.headers) as span:
            visit.trace = tracing.trace_id()
            # https://www.w3.org/TR/trace-context-2/ names the answer's header; its value is written as traceparent's
            visit.response_headers.append((b"traceresponse", tracing.headers()["traceparent"].encode()))
            try:
                await self._app(scope, receive, self._decorated(send, visit))
            finally:
                if span.is_recording():
                    if visit.route:
                        span.update_name(f"{scope['method']} {_pattern(visit)}")
                    span.set_attributes(_described(visit))
                    if visit.status >= 500 or not visit.status:
                        tracing.failed(span, str(visit.status or "interrupted"))

    def _decorated(self, send: Send, visit: Visit) -> Send:
        async def decorated(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", visit.request_id.encode()),
                    *visit.response_headers,
                    *self._rules.for_answer(visit.headers),
                ]
            await send(message)

        return decorated

    def _address(self, scope: Scope) -> str:
        peer = str((scope.get("client") or ("",))[0])
        said = [value for name, value in scope["headers"] if name == b"x-forwarded-for"] if self._proxies else ()
        return client_address(peer, said, self._proxies)


def _described(visit: Visit) -> dict[str, str | int]:
    """A request as its span tells it; never its path or its address, which may hold a token or a person."""
    facts: dict[str, str | int] = {
        "http.route": _pattern(visit) if visit.route else "",
        "http.response.status_code": visit.status,
        "tenantry.request": visit.request_id,
        "tenantry.operation": visit.operation,
        "tenantry.plugin": visit.plugin,
        "tenantry.tenant": str(visit.tenant_id or ""),
    }
    return {name: value for name, value in facts.items() if value}


def _write_line(scope: Scope, visit: Visit, seconds: float) -> None:
    facts: dict[str, str | int | float | UUID] = {
        "request": visit.request_id,
        "status": visit.status,
        "ms": round(seconds * 1000, 1),
        "operation": visit.operation,
    }
    if visit.plugin:
        facts["plugin"] = visit.plugin
    if visit.trace:
        facts["trace"] = visit.trace
    if visit.tenant_id is not None:
        facts["tenant"] = visit.tenant_id
    facts.update(who(visit.actor))
    request_line(f"{scope['method']} {_pattern(visit)}", facts)


def _pattern(visit: Visit) -> str:
    """The path as its route declares it: what was asked may hold a token, also where no route takes it."""
    if visit.route:
        return f"{API_BASE}{openapi_path(visit.route)}"
    kind, _, address = visit.operation.partition(" ")
    return address if kind == "page" else "(no such route)"
