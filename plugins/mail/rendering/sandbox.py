"""Jinja2 sandbox in which templates reach only their variables and the listed filters."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from jinja2 import pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from markupsafe import Markup

from .budget import budget
from .errors import RenderFailed
from .filters import FILTERS, FUNCTIONS, TESTS, as_plain, scalar
from .missing_variables import MissingVariable
from .places import safe_link, safe_style

LARGEST_FACTOR = 128
"""Bits that the two factors of a product may have together, at most."""

_LOOP = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "cycle", "changed"}
)
METHODS = frozenset({"items", "keys", "values", "get"})
"""Methods of a mapping that may be called; where not called, a key of the same name takes precedence."""


@pass_context  # so that Jinja computes nothing at compile time, uncounted
def _finalize(context: Context, value: Any) -> Any:
    """The result of an expression as it is written: text or a number, counted against the budget."""
    if type(value) is str or type(value) is Markup:
        budget().write(len(value))
        return value
    if value is None:
        return ""
    value = scalar(value)
    budget().write(len(str(value)))
    return value


class Sandbox(ImmutableSandboxedEnvironment):
    """The Jinja environment of templates; `markup`: values are escaped as HTML."""

    intercepted_binops = frozenset({"+", "*", "%", "**"})

    def __init__(self, *, markup: bool) -> None:
        super().__init__(
            autoescape=markup,
            undefined=MissingVariable,
            finalize=_finalize,
            optimized=False,
            keep_trailing_newline=True,
            cache_size=0,
        )
        self.filters = {**FILTERS, "_link": safe_link, "_style": safe_style, "_scalar": scalar, "_counted": _counted}
        if not markup:
            self.filters["html"] = as_plain
        self.tests = dict(TESTS)
        self.globals = {**FUNCTIONS, "_work": _work}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of a mapping, a property of the loop, or a value in a namespace; nothing else of Python objects."""
        if type(obj) is dict or isinstance(obj, Mapping):
            if attribute in obj:
                return obj[attribute]
            if attribute in METHODS:
                return getattr(obj, attribute)
        elif isinstance(obj, MissingVariable):
            obj.note()
            return obj
        elif isinstance(obj, LoopContext | Namespace) and not attribute.startswith("_"):
            try:
                return getattr(obj, attribute)
            except AttributeError:
                pass
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A key of a mapping, an element or a slice of a list or text."""
        if isinstance(obj, MissingVariable):
            obj.note()
            return obj
        if isinstance(obj, Mapping | list | tuple | str | range):
            try:
                item = obj[argument]
            except (TypeError, LookupError):
                return self.undefined(obj=obj, name=argument)
            if isinstance(argument, slice):
                budget().write(len(item))
            return item
        return self.undefined(obj=obj, name=argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Always False: templates never read attributes of Python objects."""
        return False

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether it is a macro, one of our functions, or a listed method of a mapping or a loop."""
        if isinstance(obj, Macro) or any(obj is function for function in self.globals.values()):
            return True
        owner = getattr(obj, "__self__", None)
        name = getattr(obj, "__name__", "")
        return (isinstance(owner, Mapping) and name in METHODS) or (isinstance(owner, LoopContext) and name in _LOOP)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as Jinja has it
        """Call it if that is safe.

        Raises:
            SecurityError: it is not.
        """
        if isinstance(__obj, Undefined):
            __obj._fail_with_undefined_error()
        if not __self.is_safe_callable(__obj):
            raise SecurityError(f"a {type(__obj).__name__} cannot be called")
        return __context.call(__obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Count sums; allow products and remainders of numbers only; refuse powers."""
        if isinstance(left, Undefined):
            left._fail_with_undefined_error()
        if operator == "+":
            if isinstance(left, str | list | tuple):
                budget().write(len(left) + (len(right) if isinstance(right, str | list | tuple) else 0))
        elif not _is_number(left) or not _is_number(right) or operator == "**":
            raise RenderFailed(f"{operator} works on numbers only" if operator != "**" else "powers are not available")
        elif operator == "*" and _bits(left) + _bits(right) > LARGEST_FACTOR:
            raise RenderFailed("that product is too large")
        return super().call_binop(context, operator, left, right)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal)


def _bits(value: object) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _work(steps: int, characters: int) -> None:
    """Spend what one run of a loop's or macro's body costs; the calls are inserted by `syntax.instrumented`."""
    spent = budget()
    spent.work(steps)
    spent.write(characters)


def _counted(value: Any) -> Any:
    """The elements of a loop, counted even where the loop's condition skips the body."""
    if not isinstance(value, str | list | tuple | Mapping | range) and not hasattr(value, "__next__"):
        try:
            iter(value)
        except TypeError:
            raise RenderFailed(f"a {type(value).__name__} cannot be looped over") from None
    return _counting(value)


def _counting(value: Any) -> Any:
    spent = budget()
    for element in value:
        spent.work(1)
        yield element
