"""Gaps: what a template uses and was not given, noted while it is filled in, so that all are named at once."""

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
    """What was missing in the block: "name", or ".total" for something missing inside of something else."""
    token = _noted.set([])
    try:
        yield _noted.get()
    finally:
        _noted.reset(token)


class MissingVariable(StrictUndefined):
    """Something that is not there. Writing it, looping over it and looking into it is noted and goes on, so that more
    gaps show; doing anything else with it is the end.
    """

    __slots__ = ()

    def note(self) -> None:
        """Have it named when the rendering is over."""
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
