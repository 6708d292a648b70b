"""The filters, tests and functions that mail templates may use, each limited in work and output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache, wraps
from itertools import islice
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

from jinja2 import filters as jinja
from jinja2 import tests
from jinja2.runtime import Undefined
from jinja2.utils import Namespace
from markupsafe import Markup, escape

from .budget import budget
from .errors import RenderFailed
from .places import SCHEMES
from .plaintext import text_of

Filter = Callable[..., Any]

SCALARS = (str, int, float, Decimal, date, datetime, time, UUID, type(None))
"""Types that may be written into a text; None writes nothing."""

LONGEST = 10_000
"""Elements of a range, and of a list that a filter makes, at most."""


# -- counting against the budget -------------------------------------------------------------------------


def scalar(value: Any) -> Any:
    """A value that can be written into a text as it is.

    Raises:
        RenderFailed: it is a list, a mapping or a function.
    """
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, Undefined):
        return str(value)
    if isinstance(value, Sequence | Mapping):
        raise RenderFailed(
            "a list or mapping cannot be written as it is: loop over it, join it or name one of its parts"
        )
    raise RenderFailed(f"a {type(value).__name__} cannot be written into a text")


def written(value: Any) -> str:
    """A scalar as text; its characters are counted against the budget."""
    value = scalar(value)
    text = value if isinstance(value, str) else "" if value is None else str(value)
    budget().write(len(text))
    return text


def _elements(value: Any) -> Any:
    """A list to go through; its elements are counted against the budget."""
    if isinstance(value, Undefined):
        return list(value)
    if not isinstance(value, Sized):
        value = list(islice(value, LONGEST + 1))
        if len(value) > LONGEST:
            raise RenderFailed(f"filters take {LONGEST:,} elements at most")
    budget().work(len(value))
    return value


def _of_text(function: Callable[..., str]) -> Filter:
    @wraps(function)
    def bounded(value: Any, *args: Any, **named: Any) -> str:
        return function(written(value), *args, **named)

    return bounded


def _of_list(function: Filter, position: int = 0) -> Filter:
    """One of Jinja's own filters, counted; `position` 1 where it takes the environment or context before the list."""

    @wraps(function)
    def bounded(*args: Any, **named: Any) -> Any:
        before, value, more = args[:position], args[position], args[position + 1 :]
        return function(*before, _elements(value), *more, **named)

    return bounded


# -- filters of our own ----------------------------------------------------------------------------------


def _part(value: Any, attribute: str | int) -> Any:
    try:
        return value[attribute]
    except (LookupError, TypeError):
        raise RenderFailed(f"an element has no {attribute!r}") from None


def _parts(value: Any, attribute: str | int | None) -> list[Any]:
    return [each if attribute is None else _part(each, attribute) for each in _elements(value)]


def _replace(value: Any, old: str, new: str) -> str:
    text, old, new = written(value), str(scalar(old)), str(scalar(new))
    if not old:
        raise RenderFailed("replace needs a text to replace")
    budget().write(text.count(old) * len(new))
    return str(text).replace(old, new)


def joined(value: Iterable[Any], separator: str = "", attribute: str | int | None = None) -> str:
    """The elements, one after another with `separator` between; where one is escaped HTML the others become it."""
    parts = [scalar(each) for each in _parts(value, attribute)]
    texts = [each if isinstance(each, str) else "" if each is None else str(each) for each in parts]
    separator = str(separator) if isinstance(separator, Markup) else scalar(separator)
    budget().write(sum(map(len, texts)) + len(separator) * len(texts))
    if any(isinstance(each, Markup) for each in texts):
        return escape(separator).join(texts)
    return separator.join(texts)


def _round(value: float, precision: int = 0) -> float:
    if not isinstance(precision, int) or not 0 <= precision <= 12:
        raise RenderFailed("round takes a precision from 0 to 12")
    return round(value, precision)


def _money(value: Any, digits: int = 2, point: str = ".", group: str = ",") -> str:
    """`1234.5|money` is 1,234.50 and `1234.5|money(2, ",", ".")` is 1.234,50."""
    if not isinstance(digits, int) or not 0 <= digits <= 6:
        raise RenderFailed("money takes from 0 to 6 digits")
    text = written(value)[:40]
    if isinstance(value, Undefined):
        return text
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise RenderFailed(f"{text!r} is no amount of money") from None
    if not number.is_finite() or number.adjusted() > 30:
        raise RenderFailed(f"{text!r} is no amount of money")
    return f"{number:,.{digits}f}".translate({ord(","): str(group)[:1], ord("."): str(point)[:1]})


def _sum(value: Iterable[Any], attribute: str | int | None = None, start: float = 0) -> Any:
    numbers = [start, *_parts(value, attribute)]
    if not all(isinstance(number, int | float | Decimal) for number in numbers):
        raise RenderFailed("sum takes numbers only")
    return sum(numbers)


def _truncate(text: str, length: int = 255, ending: str = "…") -> str:
    """At most `length` characters, cut at a space where there is one."""
    if not isinstance(length, int) or length < len(ending):
        raise RenderFailed("truncate takes a length that its ending fits in")
    if len(text) <= length:
        return text
    kept = str(text)[: length - len(ending)]
    return (kept.rsplit(" ", 1)[0] if " " in kept else kept) + ending


def _string(value: Any) -> str:
    return value if isinstance(value, str) else written(value)


def cleaned(value: Any) -> Markup:
    """HTML from elsewhere, such as an editor, with everything removed that is not harmless in a mail."""
    text = _fragment(value)
    if "<" not in text and "&" not in text:
        return escape(text)
    return _cleaned_often(text) if len(text) < _OFTEN else _clean(text)


def _fragment(value: Any) -> str:
    text = str(written(value))
    if text.count("<") > _TAGS:
        raise RenderFailed(f"html takes {_TAGS:,} tags at most")
    return text


def as_plain(value: Any) -> str:
    """The plain text of HTML from elsewhere."""
    text = _fragment(value)
    return text if "<" not in text and "&" not in text else _plain_often(text) if len(text) < _OFTEN else _plain(text)


def _clean(text: str) -> Markup:
    import nh3

    return Markup(nh3.clean(text, link_rel=None, url_schemes=set(SCHEMES)))  # noqa: S704 - cleaned


def _plain(text: str) -> str:
    return text_of(text).strip()


# Cached, because thousands of recipients in a row get the same article.
_OFTEN = 20_000
_TAGS = 2_000
_cleaned_often = lru_cache(maxsize=64)(_clean)
_plain_often = lru_cache(maxsize=64)(_plain)


def counted_range(*bounds: int) -> range:
    """`range`, up to 10,000 numbers."""
    numbers = range(*bounds)
    if len(numbers) > LONGEST:
        raise RenderFailed(f"range gives {LONGEST:,} numbers at most")
    return numbers


# -- the lists -------------------------------------------------------------------------------------------

FILTERS: Mapping[str, Filter] = {
    "abs": abs,
    "capitalize": _of_text(str.capitalize),
    "count": _of_list(len),
    "d": jinja.do_default,
    "default": jinja.do_default,
    "dictsort": _of_list(jinja.do_dictsort),
    "e": escape,
    "escape": escape,
    "first": _of_list(jinja.do_first, 1),
    "float": jinja.do_float,
    "html": cleaned,
    "int": jinja.do_int,
    "items": _of_list(jinja.do_items),
    "join": joined,
    "last": _of_list(jinja.do_last, 1),
    "length": _of_list(len),
    "list": _of_list(jinja.do_list, 1),
    "lower": _of_text(str.lower),
    "map": _of_list(jinja.do_map, 1),
    "max": _of_list(jinja.do_max, 1),
    "min": _of_list(jinja.do_min, 1),
    "money": _money,
    "reject": _of_list(jinja.do_reject, 1),
    "rejectattr": _of_list(jinja.do_rejectattr, 1),
    "replace": _replace,
    "reverse": _of_list(jinja.do_reverse),
    "round": _round,
    "select": _of_list(jinja.do_select, 1),
    "selectattr": _of_list(jinja.do_selectattr, 1),
    "sort": _of_list(jinja.do_sort, 1),
    "string": _string,
    "sum": _sum,
    "title": _of_text(str.title),
    "trim": _of_text(str.strip),
    "truncate": _of_text(_truncate),
    "unique": _of_list(jinja.do_unique, 1),
    "upper": _of_text(str.upper),
    "urlencode": _of_text(lambda text: quote(text, safe="")),
}

_TESTS = (
    *("boolean", "defined", "divisibleby", "even", "false", "float", "integer", "mapping", "none", "number", "odd"),
    *("string", "true", "undefined", "==", "eq", "!=", "ne", ">", "gt", "<", "lt", ">=", "ge", "<=", "le"),
)


def _is_in(value: Any, among: Any) -> bool:
    return value in _elements(among)


TESTS: Mapping[str, Filter] = {name: cast(Filter, tests.TESTS[name]) for name in _TESTS} | {"in": _is_in}

FUNCTIONS: Mapping[str, Filter] = {"namespace": Namespace, "range": counted_range}
