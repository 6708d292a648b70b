"""Translate any exception into an API error response without a stack trace, and log internal errors."""

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

# PostgreSQL's error classes that are no fault of the statement: connection, resources, shutdown, deadlock, time-out.
_UNAVAILABLE_CLASSES = ("08", "40", "53", "57", "58")
_UNAVAILABLE_ERRORS = (DBConnectionError, ConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_UNIQUE = ("23505", "23P01")
_REFERENCE = "23503"
_UNSTORABLE_CLASS = "22"


def problem(exc: BaseException, accept: bytes | None, request_id: str) -> Reply:
    """The reply to an error; internal errors are logged with their traceback and answered without it.

    accept: the request's Accept header; `application/problem+json` gets the same facts as RFC 9457.
    """
    return document(told(exc), accept, request_id)


def told(exc: BaseException) -> ApiError:
    """The API error for an exception; an unavailable service is logged in one line with its reason."""
    error = understood(exc)
    if error is None:
        _log.error("%s", f"{type(exc).__name__}: {exc}", exc_info=exc)
        return ApiError()
    if type(error) is errors.Unavailable:
        _log.warning("%s: %s", type(exc).__name__, " ".join(str(exc).split()))
        if error.__cause__ is not None:  # its message names our services' addresses
            return errors.Unavailable()
    return error


def understood(exc: BaseException) -> ApiError | None:
    """The API error that an exception means for the caller; None for an internal error."""
    if isinstance(exc, ApiError):
        return exc
    if isinstance(exc, BaseExceptionGroup):
        leaves = list(_leaves(exc))
        api_errors = [leaf for leaf in leaves if isinstance(leaf, ApiError)]
        if len(api_errors) == len(leaves) and api_errors:
            return api_errors[0]
    return _of_framework(exc) or _of_database(exc)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for member in group.exceptions:
        if isinstance(member, BaseExceptionGroup):
            yield from _leaves(member)
        else:
            yield member


def _of_framework(exc: BaseException) -> ApiError | None:
    if isinstance(exc, HTTPException):
        if isinstance(exc, MethodNotAllowed):
            allow = ", ".join(sorted({*(exc.valid_methods or ()), "OPTIONS"}))
            return errors.MethodNotAllowed(headers={"Allow": allow})
        kind = BY_STATUS.get(exc.code or 500)
        return kind() if kind is not None else errors.NotFound() if (exc.code or 500) < 400 else None
    if isinstance(exc, WrongTenant):
        return errors.NotFound()  # the same answer as for an id that does not exist
    if isinstance(exc, TimeoutError):
        return errors.Unavailable("It took too long; try again shortly.")
    return None


def _of_database(exc: BaseException) -> ApiError | None:
    """Read from the SQLSTATE where the driver gives one (PostgreSQL), else from SQLite's message."""
    if isinstance(exc, DoesNotExist | ObjectDoesNotExistError):
        return errors.NotFound()
    if isinstance(exc, ValidationError):
        return _unstorable()
    for cause in _causes(exc):
        if isinstance(cause, _UNAVAILABLE_ERRORS):
            # asyncpg's own DataError is an InterfaceError too: a value that the column's type cannot hold
            return _unstorable() if isinstance(cause, ValueError) else errors.Unavailable()
        if isinstance(cause, OSError) and "Connect call failed" in str(cause):
            return errors.Unavailable()  # asyncio joins the failures of a name's addresses in one error
        state = getattr(cause, "sqlstate", None)
        if isinstance(state, str):
            return _of_state(state, cause)
        if isinstance(cause, sqlite3.Error) or (isinstance(cause, OperationalError) and cause.args):
            error = _of_sqlite(str(cause))
            if error is not None:
                return error
        if isinstance(cause, OverflowError) and "SQLite" in str(cause):
            return _unstorable()
    return None


def _causes(exc: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = exc
    for _ in range(5):
        if current is None:
            return
        yield current
        inner = current.args[0] if isinstance(current, OperationalError) and current.args else None
        current = current.__cause__ or (inner if isinstance(inner, BaseException) else None)


def _of_state(state: str, exc: BaseException) -> ApiError | None:
    if state in _UNIQUE:
        return errors.Conflict("Such a thing exists already.")
    if state == _REFERENCE:
        return _reference("still referenced" in str(getattr(exc, "detail", "") or ""))
    if state.startswith(_UNSTORABLE_CLASS):
        return _unstorable()
    if state.startswith(_UNAVAILABLE_CLASSES):
        return errors.Unavailable()
    return None


def _of_sqlite(text: str) -> ApiError | None:
    if "UNIQUE constraint failed" in text:
        return errors.Conflict("Such a thing exists already.")
    # Another tenant's row, refused by the isolation triggers, gets the same answer as one that does not exist.
    if "FOREIGN KEY constraint failed" in text or "tenant isolation" in text:
        return _reference(None)
    if "database is locked" in text or "unable to open database" in text or "disk I/O error" in text:
        return errors.Unavailable()
    return None


def _reference(still_used: bool | None) -> ApiError:
    """still_used: None when the database does not say which side of the reference was wrong."""
    if still_used:
        return errors.Conflict("Something else still refers to it.")
    if still_used is None:
        return errors.Conflict("It refers to something that is not here, or something still refers to it.")
    return errors.Conflict("It refers to something that is not here.")


def _unstorable() -> ApiError:
    return errors.ValidationFailed("A value is outside of what can be stored: too large, or not allowed in text.")
