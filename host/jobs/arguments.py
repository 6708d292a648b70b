"""Turn arguments of a task into stored JSON, secrets encrypted, and back into the types its signature names."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints
from uuid import UUID

from pydantic import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, SecretStr, TypeAdapter, ValidationError

from host.crypto import Encryption
from host.input_errors import sentence
from host.jobs.outcomes import GiveUp
from host.redaction import ENCRYPTED
from tenants.context import SYSTEM_TENANT


class StoredArguments:
    """Encrypts what is a `SecretStr` in arguments, at any depth, for as long as they are stored."""

    def __init__(self, encryption: Encryption) -> None:
        """seals: encrypts for the tenant and the task, so that a text moved to another row opens nothing."""
        self._seals = encryption

    def closed(self, arguments: Mapping[str, Any], tenant_id: UUID | None, task: str) -> dict[str, Any]:
        """Arguments as they are stored."""

        def close(value: object) -> object:
            if isinstance(value, SecretStr):
                text = value.get_secret_value()
                return {ENCRYPTED: self._seals.encrypt(text, tenant_id or SYSTEM_TENANT, f"job {task}")}
            return _each(close, value)

        return {name: close(value) for name, value in arguments.items()}

    def opened(self, arguments: Mapping[str, Any], tenant_id: UUID | None, task: str) -> dict[str, Any]:
        """Stored arguments with their secrets as plain text.

        Raises:
            GiveUp: they were encrypted for another tenant or task, or the deployment's secret is another one now.
        """

        def open_(value: object) -> object:
            if isinstance(value, Mapping) and value.keys() == {ENCRYPTED}:
                try:
                    return self._seals.decrypt(str(value[ENCRYPTED]), tenant_id or SYSTEM_TENANT, f"job {task}")
                except ValueError:
                    raise GiveUp(
                        f"a secret of {task} cannot be decrypted: it was stored under another identity.secret"
                    ) from None
            return _each(open_, value)

        return {name: open_(value) for name, value in arguments.items()}


def _each(change: Callable[[object], object], value: object) -> object:
    """The change applied to what a list or an object holds; anything else as it is."""
    if isinstance(value, Mapping):
        return {name: change(each) for name, each in value.items()}
    return [change(each) for each in value] if isinstance(value, list | tuple) else value


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
        raise GiveUp(f"the stored argument {name!r} does not fit the task: {sentence(error.errors()[0])}") from error
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        return value
