"""The parts of the application that handles this request, job or command, behind one context variable.

It lies below the parts it holds, so it cannot name their types: each part's own module reads it back with its type
(`host.services.services()`, `host.tracing.tracing()`, `host.data.database.bound()`, …).
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from tortoise.context import TortoiseContext, _current_context


class OpenDatabase(Protocol):
    """A database as far as this module sees it."""

    @property
    def context(self) -> TortoiseContext:
        """The ORM's own state of this database; raises RuntimeError when it is not open."""
        ...


@dataclass(frozen=True, slots=True)
class AppContext:
    """The parts of one application; None where there is none."""

    database: OpenDatabase | None = None
    meter: object = None
    tracing: object = None
    error_reporting: object = None
    services: object = None
    provisioning: object = None


NO_APP = AppContext()
# A variable, as several applications may live in one process: in tests, and in a command that opens another one.
_current: ContextVar[AppContext] = ContextVar("application", default=NO_APP)


def app_context() -> AppContext:
    """The parts of the current application; one without any outside all of them."""
    return _current.get()


class enter_app:  # noqa: N801 - used like a function; not a generator, because it is entered in every request
    """Make these parts the current ones for the block, and their database the ORM's.

    orm: the ORM's state instead of the database's own, for a connection as the tables' owner.
    """

    __slots__ = ("_orm", "_orm_token", "_parts", "_token")

    def __init__(self, parts: AppContext, orm: TortoiseContext | None = None) -> None:
        self._parts, self._orm = parts, orm

    def __enter__(self) -> None:
        database, orm = self._parts.database, self._orm
        if orm is None and database is not None:
            orm = database.context
        self._orm_token = _current_context.set(orm)
        self._token = _current.set(self._parts)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
        _current_context.reset(self._orm_token)
