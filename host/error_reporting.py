"""Send unexpected errors to Sentry, with ids only and nothing about people; off unless a DSN is set.

So unexpected errors of requests, of jobs, of hooks and of what runs after a commit all arrive, each with tenant,
plugin, request and trace, as tags. Nothing of a person leaves the host: no body, no header, no local variable, no
user, and of an exception's text only the first line without quoted values, addresses, links and tokens. Expected
errors (`ApiError`, and how a task says it gives up) are not reported. Sentry's package is an optional extra
(`sentry`) and imported only when there is a DSN.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from host.app_context import app_context
from host.errors import ApiError, ConfigurationError
from host.execution_context import execution_context
from host.redaction import anonymous
from host.tracing import trace_id

if TYPE_CHECKING:
    from sentry_sdk.transport import Transport
    from sentry_sdk.types import Event, Hint

    from host.settings import Settings

_MISSING = (
    "[sentry] dsn is set, but the package it needs is not installed: install the extra `sentry` "
    '(`pip install "tenantry[sentry]"`), or leave the DSN empty'
)
_KEPT_OF_AN_EXCEPTION = ("type", "module", "value", "stacktrace", "mechanism")


class ErrorReporting(logging.Handler):
    """Reports to Sentry what is logged, inside the application it belongs to, as an error with an exception."""

    def __init__(self, settings: Settings, release: str = "", transport: Transport | None = None) -> None:
        """transport: how reports are sent, instead of over HTTP.

        Raises:
            ConfigurationError: the extra `sentry` is not installed, or the DSN cannot be read.
        """
        super().__init__(logging.ERROR)
        try:
            from sentry_sdk import Client
            from sentry_sdk.utils import BadDsn
        except ImportError as error:
            raise ConfigurationError(_MISSING) from error
        try:
            self.client = Client(
                dsn=settings.sentry.dsn.get_secret_value(),
                transport=transport,
                environment=settings.app.environment,
                release=release or None,
                before_send=_without_people,
                default_integrations=False,
                auto_enabling_integrations=False,
                include_local_variables=False,
                max_request_body_size="never",
                max_breadcrumbs=0,
                send_client_reports=False,
                auto_session_tracking=False,
                server_name="",
            )
        except BadDsn as error:
            raise ConfigurationError(f"TENANTRY_SENTRY__DSN cannot be read: {error}") from error

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Receive every log record for the block, which lasts as long as the application runs."""
        root = logging.getLogger()
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Report a log record that holds an unexpected exception."""
        error = _exception(record)
        if error is None or isinstance(error, ApiError) or app_context().error_reporting is not self:
            return
        try:
            self._send(error, record.name)
        except Exception:
            self.handleError(record)

    async def close_client(self) -> None:
        """Send what is waiting, for 2 seconds at most, and close the client."""
        await asyncio.to_thread(self.client.close, 2.0)

    def _send(self, error: BaseException, logger: str) -> None:
        from sentry_sdk.utils import event_from_exception

        event, hint = event_from_exception(error, client_options=self.client.options)
        event["logger"], event["level"], event["tags"] = logger, "error", tags()
        self.client.capture_event(event, hint)


def tags() -> dict[str, str]:
    """The tags of a report: request, tenant, plugin, trace, task and job of the calling code, as ids only."""
    here, bound = execution_context(), structlog.contextvars.get_contextvars()
    values = {
        "request": here.origin.request_id,
        "tenant": str(here.tenant.id) if here.tenant else "",
        "plugin": here.plugin,
        "trace": trace_id(),
        **{name: str(bound[name]) for name in ("request", "tenant", "plugin", "trace", "task", "job") if name in bound},
    }
    return {name: value for name, value in values.items() if value}


def _exception(record: logging.LogRecord) -> BaseException | None:
    exc_info: Any = record.exc_info
    if not exc_info and isinstance(record.msg, dict):  # structlog's own lines carry it in the event
        exc_info = record.msg.get("exc_info")
    if exc_info is True:
        exc_info = sys.exc_info()
    return exc_info[1] if isinstance(exc_info, tuple) else exc_info if isinstance(exc_info, BaseException) else None


def _without_people(event: Event, _hint: Hint) -> Event:
    """The event with each exception's place and an anonymous first line of its message, and nothing else."""
    for exception in event.get("exception", {}).get("values", ()):
        for name in set(exception) - set(_KEPT_OF_AN_EXCEPTION):
            del exception[name]
        exception["value"] = anonymous(str(exception.get("value") or ""))
    for name in ("request", "user", "breadcrumbs", "extra", "modules", "server_name", "threads"):
        event.pop(name, None)  # type: ignore[misc]
    return event
