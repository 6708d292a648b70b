"""Structured logging: every line carries request, tenant, user, plugin and trace."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from host.contracts import Actor
from host.execution_context import NOWHERE, execution_context
from host.redaction import HIDDEN, is_secret
from host.tracing import trace_id
from tenants.context import current_or_none

REQUESTS = "host.web.requests"
"""The logger of the one line that each request writes."""

RUNS = "host.jobs.runs"
"""The logger of the one line that each run of a job writes."""

_requests, _runs = logging.getLogger(REQUESTS), logging.getLogger(RUNS)
_NOISY = ("asyncio", "botocore", "aiobotocore", "hypercorn.access", "uvicorn.access", "granian.access", "saq", "httpx")
_NOISY_TOO = ("httpcore", "tortoise", "urllib3", "aiosqlite", "uvicorn.error")  # Uvicorn logs WebSockets' addresses


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    style: Literal["auto", "console", "json"] = "auto",
    stream: IO[str] | None = None,
) -> None:
    """Send every line of the process, ours and the libraries', to `stream` (None: standard error).

    style: `console` for people, `json` for machines, `auto` by whether the stream is a terminal.
    Calling it again replaces the earlier configuration.
    """
    out = stream or sys.stderr
    console = style == "console" or (style == "auto" and out.isatty())
    shared = _shared()
    renderer: Processor = structlog.dev.ConsoleRenderer(colors=out.isatty()) if console else _json()
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if console else [structlog.processors.format_exc_info]),
                _hide_secrets,
                renderer,
            ],
        )
    )
    for name in (REQUESTS, RUNS):
        lean = logging.getLogger(name)
        lean.propagate = console  # on a console it is written like any other line
        lean.handlers[:] = [] if console else [_LeanHandler(out)]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in (*_NOISY, *_NOISY_TOO):
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    # SAQ warns whenever its waiting loops are stopped, which is how they always end.
    logging.getLogger("saq").setLevel(logging.DEBUG if level == "debug" else logging.ERROR)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def request_line(event: str, facts: dict[str, Any]) -> None:
    """The one line of a request; as JSON it skips what other lines go through, which costs as much as a query."""
    _one_line(_requests, event, facts)


def run_line(event: str, facts: dict[str, Any]) -> None:
    """The one line of a job's run; as JSON it is as lean as a request's. facts: what `who_and_where` does not say."""
    if _runs.isEnabledFor(logging.INFO):
        _one_line(_runs, event, {**who_and_where(), **facts})


def _one_line(log: logging.Logger, event: str, facts: dict[str, Any]) -> None:
    if not log.isEnabledFor(logging.INFO):
        return
    lean = log.handlers[0] if log.handlers else None
    if isinstance(lean, _LeanHandler):
        lean.write(log.name, event, facts)
    else:
        log.info(event, extra=facts)


class _LeanHandler(logging.StreamHandler[IO[str]]):
    """Writes a line of facts as JSON without a log record, which costs more than the line."""

    def write(self, name: str, event: str, facts: dict[str, Any]) -> None:
        line = {"event": event, "level": "info", "logger": name, "timestamp": datetime.now(UTC), **facts}
        text = orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()
        self.acquire()
        try:
            self.stream.write(f"{text}\n")
            self.flush()
        except Exception:  # as logging does: a full disk must not fail the request
            self.handleError(logging.makeLogRecord({"name": name, "msg": event}))
        finally:
            self.release()


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: `_log = logger(__name__)`, then `_log.info("job finished", job=job_id)`."""
    found: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return found


@contextmanager
def about(**facts: Any) -> Iterator[None]:
    """Add facts, such as `plugin="…"`, to every line written inside the block."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _who_and_where,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def who(actor: Actor) -> dict[str, str]:
    """Who acts: `user` (the person asking, or who made the key or started the job), `key` or `job`; ids only."""
    ids: dict[str, str] = {}
    if actor.id is not None:
        ids["key" if actor.kind == "api_key" else actor.kind] = str(actor.id)  # api_key would be taken for a secret
    if actor.user_id is not None:
        ids["user"] = str(actor.user_id)
    return ids


def who_and_where() -> dict[str, str]:
    """Request, trace, tenant, plugin and people, where they are bound; ids only: no log keeps a person's address."""
    here = execution_context()
    if here is NOWHERE:
        ids = {}
    else:
        ids = {"request": here.origin.request_id, "plugin": here.plugin, **who(here.origin.actor)}
    tenant = current_or_none()
    if tenant is not None:
        ids["tenant"] = str(tenant)
    if trace := trace_id():
        ids["trace"] = trace
    return {name: value for name, value in ids.items() if value}


def _who_and_where(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    for name, value in who_and_where().items():
        line.setdefault(name, value)
    return line


def _hide_secrets(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    for key in line:
        if is_secret(key, line[key]):
            line[key] = HIDDEN
    return line


def _json() -> Processor:
    def render(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()

    return render
