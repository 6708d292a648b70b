"""Problems: any error becomes one document, never HTML, never a stack trace."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator

import asyncpg  # type: ignore[import-untyped]
from tortoise.exceptions import (
    DBConnectionError,
    DoesNotExist,
    ObjectDoesNotExistError,
    OperationalError,
    ValidationError,
)
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from host import errors
from host.errors import ApiError
from host.web.responses.error_documents import BY_STATUS, document
from host.web.responses.reply import Reply
from tenants.context import WrongTenant

_log = logging.getLogger("host.web")

# PostgreSQL's classes of what is no fault of the statement: connection, resources, shutdown, deadlock, time-out.
_AWAY_CLASSES = ("08", "40", "53", "57", "58")
_AWAY_ERRORS = (DBConnectionError, ConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_UNIQUE = ("23505", "23P01")
_REFERENCE = "23503"
_UNSTORABLE_CLASS = "22"


def problem(exc: BaseException, accept: bytes | None, request_id: str) -> Reply:
    """The reply that tells of an error; what is our own fault is logged with its traceback and told without it.

    accept: the request's Accept header; `application/problem+json` gets the same facts as RFC 9457.
    """
    return document(told(exc), accept, request_id)


def told(exc: BaseException) -> ApiError:
    """The error of the host that an exception is told as; one line in the log for what is away, and why."""
    found = understood(exc)
    if found is None:
        _log.error("%s", f"{type(exc).__name__}: {exc}", exc_info=exc)
        return ApiError()
    if type(found) is errors.Unavailable:
        _log.warning("%s: %s", type(exc).__name__, " ".join(str(exc).split()))
        if found.__cause__ is not None:  # it says where our services are
            return errors.Unavailable()
    return found


def understood(exc: BaseException) -> ApiError | None:
    """What an exception means for whoever asked; None for what is our own fault."""
    if isinstance(exc, ApiError):
        return exc
    if isinstance(exc, BaseExceptionGroup):
        leaves = list(_leaves(exc))
        known = [leaf for leaf in leaves if isinstance(leaf, ApiError)]
        if len(known) == len(leaves) and known:
            return known[0]
    return _of_framework(exc) or _of_database(exc)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


def _of_framework(exc: BaseException) -> ApiError | None:
    if isinstance(exc, HTTPException):
        if isinstance(exc, MethodNotAllowed):
            allow = ", ".join(sorted({*(exc.valid_methods or ()), "OPTIONS"}))
            return errors.MethodNotAllowed(headers={"Allow": allow})
        kind = BY_STATUS.get(exc.code or 500)
        return kind() if kind is not None else errors.NotFound() if (exc.code or 500) < 400 else None
    if isinstance(exc, WrongTenant):
        return errors.NotFound()  # exactly as an id that never existed
    if isinstance(exc, TimeoutError):
        return errors.Unavailable("It took too long; try again shortly.")
    return None


def _of_database(exc: BaseException) -> ApiError | None:
    """Told by SQLSTATE where the driver gives one (PostgreSQL), else by what SQLite writes."""
    if isinstance(exc, DoesNotExist | ObjectDoesNotExistError):
        return errors.NotFound()
    if isinstance(exc, ValidationError):
        return _unstorable()
    for each in _causes(exc):
        if isinstance(each, _AWAY_ERRORS):
            # asyncpg's own DataError is an InterfaceError too: a value that the column's type cannot hold
            return _unstorable() if isinstance(each, ValueError) else errors.Unavailable()
        if isinstance(each, OSError) and "Connect call failed" in str(each):
            return errors.Unavailable()  # asyncio's sum of one failure for each address of a name
        state = getattr(each, "sqlstate", None)
        if isinstance(state, str):
            return _of_state(state, each)
        if isinstance(each, sqlite3.Error) or (isinstance(each, OperationalError) and each.args):
            found = _of_sqlite(str(each))
            if found is not None:
                return found
        if isinstance(each, OverflowError) and "SQLite" in str(each):
            return _unstorable()
    return None


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = exc
    for _ in range(5):
        if seen is None:
            return
        yield seen
        inner = seen.args[0] if isinstance(seen, OperationalError) and seen.args else None
        seen = seen.__cause__ or (inner if isinstance(inner, BaseException) else None)


def _of_state(state: str, exc: BaseException) -> ApiError | None:
    if state in _UNIQUE:
        return errors.Conflict("Such a thing exists already.")
    if state == _REFERENCE:
        return _reference("still referenced" in str(getattr(exc, "detail", "") or ""))
    if state.startswith(_UNSTORABLE_CLASS):
        return _unstorable()
    if state.startswith(_AWAY_CLASSES):
        return errors.Unavailable()
    return None


def _of_sqlite(text: str) -> ApiError | None:
    if "UNIQUE constraint failed" in text:
        return errors.Conflict("Such a thing exists already.")
    # Another tenant's row, refused by the isolation triggers, is told like one that never existed.
    if "FOREIGN KEY constraint failed" in text or "tenant isolation" in text:
        return _reference(None)
    if "database is locked" in text or "unable to open database" in text or "disk I/O error" in text:
        return errors.Unavailable()
    return None


def _reference(still_used: bool | None) -> ApiError:
    """still_used: None when the database does not tell which side of the reference was wrong."""
    if still_used:
        return errors.Conflict("Something else still refers to it.")
    if still_used is None:
        return errors.Conflict("It refers to something that is not here, or something still refers to it.")
    return errors.Conflict("It refers to something that is not here.")


def _unstorable() -> ApiError:
    return errors.ValidationFailed("A value is outside of what can be stored: too large, or not allowed in text.")
