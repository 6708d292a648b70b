"""Arguments of a task on their way out of JSON: given the types that the task's signature names."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeAdapter, ValidationError

from host.jobs.outcomes import GiveUp


def typed(run: Callable[..., Awaitable[Any]], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as `run` wants them: UUIDs, times and the like from their JSON text.

    Raises:
        GiveUp: one is missing, unknown or of the wrong kind; trying again would not mend it.
    """
    try:
        inspect.signature(run).bind(**arguments)
    except TypeError as error:
        raise GiveUp(f"the stored arguments do not fit the task: {error}") from error
    hints = _hints(run)
    return {name: _typed(name, hints[name], value) if name in hints else value for name, value in arguments.items()}


def _hints(run: Callable[..., Awaitable[Any]]) -> Mapping[str, Any]:
    try:
        return get_type_hints(run)
    except (NameError, TypeError):  # imported for type checkers only, or not a plain function: taken as stored
        return {}


def _typed(name: str, hint: Any, value: Any) -> Any:
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise GiveUp(f"the stored argument {name!r} does not fit the task: {error.errors()[0]['msg']}") from error
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        return value
