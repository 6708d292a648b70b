"""OpenTelemetry spans for requests, hooks, SQL and jobs; one None check when disabled.

OpenTelemetry is an optional extra (`tracing`) and imported only when settings switch it on. Spans hold names, ids and
SQL without values; never a header, a body, an address or the text of an exception. W3C Trace Context
(https://www.w3.org/TR/trace-context/) comes in with `traceparent`, goes on in the `origin` of jobs, and goes out with
`trace_headers()`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from host.app_context import app_context
from host.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from host.settings import TracingSettings

T = TypeVar("T")
Attributes = Mapping[str, str | int]

_LITERAL = re.compile(r"'(?:[^']|'')*'|(?<![\w$?\"])\d+(?:\.\d+)?\b")
_FIRST_WORD = re.compile(r"\s*(\w+)")
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")
# not `bound`, which is how host.data.statement names the tenant's own row
_TARGET = re.compile(r'\b(?:FROM|INTO|UPDATE)\s+"?(?!bound\b|SET\b)(\w+)', re.IGNORECASE)
_MISSING = (
    "[tracing] is switched on, but the packages it needs are not installed: install the extra `tracing` "
    '(`pip install "tenantry[tracing]"`), or set exporter = "off"'
)


class Tracing:
    """Makes spans and has them exported; one for each application.

    Attributes:
        provider: OpenTelemetry's own, to which tests and deployments may add processors.
    """

    def __init__(self, settings: TracingSettings, exporter: SpanExporter | None = None) -> None:
        """exporter: where spans go, instead of where the settings say.

        Raises:
            ConfigurationError: the extra `tracing` is not installed.
        """
        try:
            from opentelemetry import trace
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            self.provider: TracerProvider = _provider(settings)
            chosen = exporter or _exporter(settings)
        except ImportError as error:
            raise ConfigurationError(f"{_MISSING} ({error})") from error
        if chosen is not None:
            self.provider.add_span_processor(BatchSpanProcessor(chosen))
        self._trace = trace
        self._tracer = self.provider.get_tracer("tenantry")
        self._propagator = TraceContextTextMapPropagator()
        self._trust = settings.trust_callers

    def request(self, method: str, headers: Mapping[bytes, bytes]) -> AbstractContextManager[Span]:
        """The span of one request, within the trace that its `traceparent` names where callers are trusted."""
        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if self._trust and name.encode() in headers
        }
        parent = self._propagator.extract(carrier, self._nowhere())
        return self._span(method, self._trace.SpanKind.SERVER, parent, {"http.request.method": method})

    def job(self, task: str, traceparent: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """The span of one run of a job, within the trace it was enqueued in: recorded if that was."""
        parent = self._propagator.extract({"traceparent": traceparent}, self._nowhere())
        return self._span(f"job {task}", self._trace.SpanKind.CONSUMER, parent, attributes)

    async def hook(self, plugin: str, hook: str, work: Awaitable[T], failure: Callable[[T], str]) -> T:
        """Await one plugin's hook in a span of its own; `failure` names the kind of error in its outcome, or ""."""
        if not self._trace.get_current_span().is_recording():
            return await work
        attributes = {"tenantry.plugin": plugin, "tenantry.hook": hook}
        with self._span(f"hook {hook}", self._trace.SpanKind.INTERNAL, None, attributes) as span:
            outcome = await work
            if kind := failure(outcome):
                self.failed(span, kind)
            return outcome

    async def statement(self, sql: str, system: str, work: Awaitable[T]) -> T:
        """Await one SQL statement in a span of its own, if anything records here."""
        if not self._trace.get_current_span().is_recording():
            return await work
        name, operation, text = _described(sql)
        attributes = {"db.system": system, "db.operation": operation, "db.statement": text}
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.CLIENT, attributes=attributes)
        try:
            return await work
        except BaseException as error:
            self.failed(span, type(error).__name__)
            raise
        finally:
            span.end()

    def trace_id(self) -> str:
        """The id of the current trace, 32 hex digits; empty outside of any."""
        here = self._trace.get_current_span().get_span_context()
        return format(here.trace_id, "032x") if here.is_valid else ""

    def headers(self) -> dict[str, str]:
        """`traceparent`, and `tracestate` where there is one, of the current span."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    async def close(self) -> None:
        """Export the spans that are waiting, for 5 seconds at most."""
        try:
            async with asyncio.timeout(5):
                await asyncio.to_thread(self.provider.shutdown)
        except TimeoutError:  # the collector is away: nobody waits for it
            return

    def _nowhere(self) -> Context:
        from opentelemetry.context import Context

        return Context()

    @contextmanager
    def _span(self, name: str, kind: object, parent: Context | None, attributes: Attributes) -> Iterator[Span]:
        span = self._tracer.start_span(name, parent, kind, attributes)  # type: ignore[arg-type]
        with self._trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                self.failed(span, type(error).__name__)
                raise

    def failed(self, span: Span, kind: str) -> None:
        """Mark a span with the kind of its error only: an exception's text may hold what a person wrote."""
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.StatusCode.ERROR)


def tracing() -> Tracing | None:
    """The tracing of the application that runs this; None where it is switched off."""
    return cast("Tracing | None", app_context().tracing)


def hooked(plugin: str, hook: str, work: Awaitable[T], failure: Callable[[T], str]) -> Awaitable[T]:
    """Run a plugin's hook in a trace span, if tracing is on."""
    here = tracing()
    return work if here is None else here.hook(plugin, hook, work, failure)


def statement(sql: str, system: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Run one SQL statement in a trace span, if tracing is on."""
    here = tracing()
    return work if here is None else here.statement(sql, system, work)


def trace_id() -> str:
    """The id of the current trace, 32 hex digits; empty outside of any and where tracing is switched off."""
    here = tracing()
    return "" if here is None else here.trace_id()


def traceparent() -> str:
    """The current span as W3C Trace Context writes it; empty outside of any and where tracing is switched off."""
    here = tracing()
    return "" if here is None else here.headers().get("traceparent", "")


def trace_headers() -> dict[str, str]:
    """Headers for a request to another service, so that its spans join the current trace; none where there is none.

    Example:
        answer = await client.post(url, json=body, headers=trace_headers())
    """
    here = tracing()
    return {} if here is None else here.headers()


@lru_cache(maxsize=1000)
def _described(sql: str) -> tuple[str, str, str]:
    """A statement's span name ("SELECT jobs"), its operation, and its text without any value written into it."""
    first, target, write = _FIRST_WORD.match(sql), _TARGET.search(sql), _WRITES.search(sql)
    operation = first[1].upper() if first else "SQL"
    if operation == "WITH":
        operation = write[1] if write else "SELECT"
    return f"{operation} {target[1]}" if target else operation, operation, _LITERAL.sub("?", sql)[:4000]


def _provider(settings: TracingSettings) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    return TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
        resource=Resource.create({"service.name": settings.service}),
        shutdown_on_exit=False,
    )


def _exporter(settings: TracingSettings) -> SpanExporter | None:
    if settings.exporter != "otlp":
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    endpoint = f"{settings.endpoint.rstrip('/')}/v1/traces" if settings.endpoint else None
    return OTLPSpanExporter(endpoint=endpoint)
