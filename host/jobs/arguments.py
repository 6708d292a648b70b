"""Convert a job's arguments to stored JSON with encrypted secrets, and back to the types the task declares."""

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
        """encryption: binds each secret to tenant and task, so a text copied to another row cannot be decrypted."""
        self._encryption = encryption

    def closed(self, arguments: Mapping[str, Any], tenant_id: UUID | None, task: str) -> dict[str, Any]:
        """The arguments as JSON values for the database, each `SecretStr` replaced by its encrypted text."""

        def close(value: object) -> object:
            if isinstance(value, SecretStr):
                text = value.get_secret_value()
                return {ENCRYPTED: self._encryption.encrypt(text, tenant_id or SYSTEM_TENANT, f"job {task}")}
            return _map_items(close, value)

        return {name: close(value) for name, value in arguments.items()}

    def opened(self, arguments: Mapping[str, Any], tenant_id: UUID | None, task: str) -> dict[str, Any]:
        """Stored arguments with their secrets as plain text.

        Raises:
            GiveUp: they were encrypted for another tenant or task, or the deployment's secret is another one now.
        """

        def open_(value: object) -> object:
            if isinstance(value, Mapping) and value.keys() == {ENCRYPTED}:
                try:
                    return self._encryption.decrypt(str(value[ENCRYPTED]), tenant_id or SYSTEM_TENANT, f"job {task}")
                except ValueError:
                    raise GiveUp(
                        f"a secret of {task} cannot be decrypted: it was stored under another identity.secret"
                    ) from None
            return _map_items(open_, value)

        return {name: open_(value) for name, value in arguments.items()}


def _map_items(change: Callable[[object], object], value: object) -> object:
    """Apply `change` to each item of a list or value of an object; any other value is returned unchanged."""
    if isinstance(value, Mapping):
        return {name: change(item) for name, item in value.items()}
    return [change(item) for item in value] if isinstance(value, list | tuple) else value


def typed(run: Callable[..., Awaitable[Any]], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Convert stored arguments to the types in the signature of `run`, such as UUID and datetime.

    Raises:
        GiveUp: one is missing, unknown or of the wrong type; another try would fail the same way.
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
