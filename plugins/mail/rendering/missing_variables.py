"""Collect all variables that a template uses and was not given, instead of failing at the first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2.runtime import StrictUndefined
from jinja2.utils import missing

_noted: ContextVar[list[str]] = ContextVar("noted")


@contextmanager
def noting() -> Iterator[list[str]]:
    """Collect what is missing in the block: "name", or ".total" for something missing inside another value."""
    token = _noted.set([])
    try:
        yield _noted.get()
    finally:
        _noted.reset(token)


class MissingVariable(StrictUndefined):
    """A variable that was not given. Writing it, looping over it and reading its parts is recorded and rendering goes
    on, so that all missing variables are found; any other use raises UndefinedError.
    """

    __slots__ = ()

    def note(self) -> None:
        """Record it, to be named when the rendering is over."""
        inside = "" if self._undefined_obj is missing else "."
        _noted.get().append(f"{inside}{self._undefined_name}")

    def __str__(self) -> str:  # type: ignore[override]  # not strict here
        self.note()
        return ""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        self.note()
        return iter(())

    def _fail_with_undefined_error(self, *args: Any, **kwargs: Any) -> Any:
        self.note()
        return super()._fail_with_undefined_error(*args, **kwargs)

    __len__ = __eq__ = __ne__ = __bool__ = __hash__ = __call__ = _fail_with_undefined_error
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _fail_with_undefined_error
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _fail_with_undefined_error
    __pos__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = _fail_with_undefined_error
    __int__ = __float__ = _fail_with_undefined_error
