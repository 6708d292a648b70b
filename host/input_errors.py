"""Turn pydantic validation errors into field paths and plain messages, for requests and for configuration."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

MAX_DETAILS = 50
"""How many errors are reported of one input at most."""

NOT_USABLE = "is not a value that can be used here"

_INSIDES = re.compile(
    r"0x[0-9a-f]{4,}|Traceback|<class|<function|\bobject at\b|object has no|\bNoneType\b|pydantic|tortoise|"
    r"invalid literal|positional argument|\bNotImplemented|Error\b.*\(",
    re.IGNORECASE,
)
_WORDS: Mapping[str, str] = {
    "missing": "must be given",
    "extra_forbidden": "there is no such field",
    "string_type": "must be text",
    "string_sub_type": "must be text",
    "string_unicode": "must be text in UTF-8",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "is not in the form that is asked for here; the API's description shows it",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 64 bits",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "none_required": "must be null",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be an object",
    "mapping_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dataclass_type": "must be an object",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    **dict.fromkeys(
        ("ip_v4_address", "ip_v6_address", "ip_any_address"), "must be an address such as 10.0.0.1 or fd00::1"
    ),
    **dict.fromkeys(
        ("ip_v4_network", "ip_v6_network", "ip_any_network"),
        "must be a network by its first address, such as 10.0.0.0/8 or fd00::/8",
    ),
    "date_type": "must be a date such as 2026-01-31",
    "date_parsing": "must be a date such as 2026-01-31",
    "date_from_datetime_parsing": "must be a date such as 2026-01-31",
    "date_from_datetime_inexact": "must be a date such as 2026-01-31",
    "datetime_type": "must be a time such as 2026-01-31T09:00:00Z",
    "datetime_parsing": "must be a time such as 2026-01-31T09:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-01-31T09:00:00Z",
    "datetime_object_invalid": "must be a time such as 2026-01-31T09:00:00Z",
    "timezone_aware": "must say its offset from UTC, such as Z or +02:00 at the end",
    "time_delta_type": "must be a length of time such as PT15M",
    "time_delta_parsing": "must be a length of time such as PT15M",
    "url_type": "must be an address that begins with https://",
    "url_parsing": "must be an address that begins with https://",
    "url_scheme": "must be an address that begins with {expected_schemes}",
    "bytes_type": "must be text",
    "json_invalid": "must be JSON",
    "json_type": "must be JSON",
    "recursion_loop": "must not contain itself",
    "union_tag_not_found": "must say which kind it is, in {discriminator}",
    "union_tag_invalid": "must be one of {expected_tags}",
}


def validation_messages(
    error: ValidationError, validated: Any, root: str, fields: tuple[str, ...] = ()
) -> dict[str, str]:
    """Field path -> what is wrong with it, `MAX_DETAILS` at most; `root` stands for the value as a whole.

    validated: the input, to tell fields from the names of types that pydantic puts between them. fields: those that
    there are, from which the nearest name is offered for one that is unknown.
    """
    details: dict[str, str] = {}
    for problem in error.errors(include_url=False):
        steps = _path(problem["loc"], validated, whole=problem["type"] in ("missing", "extra_forbidden"))
        path = ".".join(steps) or root
        message = sentence(problem)
        if problem["type"] == "extra_forbidden" and len(steps) == 1:
            message += nearest(path, fields)
        details.setdefault(path, message)
        if len(details) >= MAX_DETAILS:
            break
    return details


def sentence(problem: Mapping[str, Any]) -> str:
    """One of `ValidationError.errors()` in words."""
    context = problem.get("ctx") or {}
    kind = problem["type"]
    if isinstance(problem.get("input"), str):  # of text, behind a validator
        kind = {"too_short": "string_too_short", "too_long": "string_too_long"}.get(kind, kind)
    template = _WORDS.get(kind)
    if template is not None:
        return template.format_map({name: str(value) for name, value in context.items()})
    message = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message.replace("Input should be", "must be")
    return NOT_USABLE if _INSIDES.search(message) else message


def fault_of(error: BaseException, otherwise: str = NOT_USABLE) -> str:
    """An error's message if people can read it; else `otherwise`, so that no internal names are shown."""
    message = str(error).strip()
    return otherwise if not message or _INSIDES.search(message) or "\n" in message else message


def nearest(wrong: str, candidates: Iterable[str], shown: Mapping[str, str] = MappingProxyType({})) -> str:
    """`; did you mean "x"?` for the known name nearest to a wrong one, else the known names if they are few.

    shown: how to write a name, where not as it is.
    """
    names = {name: shown.get(name, name) for name in sorted(set(candidates))}
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{names[close[0]]}"?'
    return f"; known: {', '.join(names.values())}" if 0 < len(names) <= 12 else ""


KeyPath = tuple[str, ...]
"""Where a value stands in a file of tables: `("server", "port")`."""


def configuration_messages(
    error: ValidationError,
    validated: Any,
    kind: Any,
    *,
    reveal: Callable[[KeyPath], bool] = lambda _: True,
    complete: bool = True,
) -> dict[KeyPath, str]:
    """Key path -> what is wrong there and what to do, for files and variables that people write.

    validated: the input. kind: the type it was validated as, whose nearest key is offered for an unknown one.
    reveal: whether the value at a path may be shown. complete: False leaves out what further values may mend: missing
    ones, and complaints about a table as a whole.
    """
    messages: dict[KeyPath, str] = {}
    for problem in error.errors(include_url=False):
        kind_of_error, value = problem["type"], problem["input"]
        unknown = kind_of_error in ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass
        missing = kind_of_error == "missing"
        if not complete and (missing or (kind_of_error == "value_error" and isinstance(value, Mapping))):
            continue
        path = tuple(_path(problem["loc"], validated, whole=unknown or missing))
        if unknown:
            message = f"there is no such key{nearest_key(type_at(kind, path[:-1]), path[-1])}"
        elif missing:
            examples = fields_of(type_at(kind, path[:-1]))[path[-1]].examples or ["…"]
            message = f"is missing; add {path[-1]} = {json.dumps(examples[0], ensure_ascii=False)}"
        else:
            message = sentence(problem).replace("an object", "a table")
            if kind_of_error in _WORDS and not isinstance(value, Mapping | list) and reveal(path):
                message += f", not {json.dumps(value, ensure_ascii=False, default=str)}"
        messages.setdefault(path, message)
    return messages


def nearest_key(kind: Any, wrong: str, show: Callable[[KeyPath], str] = ".".join) -> str:
    """`nearest` among the keys of a table and, by their last word or joined on with an underscore, of tables in it."""
    paths: dict[str, KeyPath] = {key: (key,) for key in fields_of(kind)}
    for table, field in fields_of(kind).items():
        for key in fields_of(field.annotation):
            paths = {key: (table, key), f"{table}_{key}": (table, key)} | paths
    return nearest(wrong, paths, {key: show(path) for key, path in paths.items()})


def fields_of(kind: Any) -> Mapping[str, FieldInfo]:
    """The fields of a pydantic model or dataclass, perhaps an optional one; none of anything else."""
    return next((part.__pydantic_fields__ for part in _parts(kind) if hasattr(part, "__pydantic_fields__")), {})


def type_at(kind: Any, path: Iterable[str]) -> Any:
    """The type at a key path below `kind`, through models and tables of models; None where there is none."""
    for key in path:
        fields = fields_of(kind)
        tables = (get_args(part)[1] for part in _parts(kind) if _is_table(part))
        kind = fields[key].annotation if key in fields else next(tables, None)
    return kind


def _parts(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_table(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _path(location: tuple[int | str, ...], validated: Any, *, whole: bool) -> list[str]:
    """The keys and indexes into the input; pydantic's names of union branches and validators are left out."""
    steps: list[str] = []
    here = validated
    for number, part in enumerate(location):
        if isinstance(here, Mapping) and part in here:
            here = here[part]
        elif isinstance(part, int):
            here = here[part] if isinstance(here, list | tuple) and part < len(here) else None
        elif not (whole and number == len(location) - 1):
            continue
        steps.append(str(part)[:100])
    return steps


class TextForm:
    """Marks text that must be in a form, said in words: `Annotated[str, TextForm(r"[a-z]+", "lower-case letters")]`.

    pattern: a regular expression that the whole text must fit; it is shown in the API's description, never in messages.

    Example:
        Colour = Annotated[str, TextForm(r"#[0-9a-f]{6}", "a colour such as #00ff00")]
    """

    def __init__(self, pattern: str, words: str) -> None:
        self._pattern, self._words = re.compile(pattern), words

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return handler(schema) | {"pattern": f"^(?:{self._pattern.pattern})$"}

    def _check(self, text: str) -> str:
        if not self._pattern.fullmatch(text):
            raise ValueError(f"must be {self._words}")
        return text
