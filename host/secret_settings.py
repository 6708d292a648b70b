"""Encrypt and decrypt the secrets among an organisation's settings of a plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from host.errors import ValidationFailed

MASK = "**********"
"""How pydantic shows a secret; who sends it back means the secret that is stored."""

_MARK = "$secret"  # a stored secret is {"$secret": "<encrypted JSON>"}

Text = Callable[[str], str]


def encrypted(settings: BaseModel, encrypt: Text) -> dict[str, Any]:
    """The settings that were set, as JSON to be stored; each secret, at any depth, goes through `encrypt`.

    Raises:
        ValidationFailed: a secret is the mask that stands for it, or a name is the one that marks secrets.
    """
    return dict(to_jsonable_python(_encrypted(settings.model_dump(exclude_unset=True), "", encrypt)))


def decrypted(stored: Any, decrypt: Text) -> Any:
    """Stored settings as the model takes them, secrets in plain.

    Raises:
        ValueError: `decrypt` cannot read a secret, as the deployment has another key now.
    """
    if isinstance(stored, Mapping):
        if stored.keys() == {_MARK}:
            return orjson.loads(decrypt(stored[_MARK]))
        return {name: decrypted(each, decrypt) for name, each in stored.items()}
    return [decrypted(each, decrypt) for each in stored] if isinstance(stored, list) else stored


def without_secrets(stored: Any) -> Any:
    """Stored settings with the mask in the place of each secret."""
    return decrypted(stored, lambda _: f'"{MASK}"')


def unmasked(sent: Any, model: type[BaseModel], plain: Mapping[str, Any]) -> Any:
    """What was sent, the secrets in force (`plain`, as `decrypted` gives them) in the place of their masks.

    In a list an item is known by all that it shows, so that no secret goes to an item that it was not set for; a mask
    that may stand for several stays, and `encrypted` refuses it.
    """
    try:
        settings = model.model_validate(plain)
    except ValidationError:  # set for an older version of the plugin
        return sent
    return _unmasked(sent, settings.model_dump(mode="json"), settings.model_dump())


def _is_secret(value: Any) -> bool:
    return hasattr(value, "get_secret_value")


def _encrypted(value: Any, path: str, encrypt: Text) -> Any:
    if _is_secret(value):
        plain = to_jsonable_python(value.get_secret_value())
        if plain == MASK:
            raise ValidationFailed(details={path: "This is how a secret is shown; send the secret itself."})
        return {_MARK: encrypt(orjson.dumps(plain).decode())}
    below = f"{path}." if path else ""
    if isinstance(value, Mapping):
        if _MARK in value:
            raise ValidationFailed(details={path or "body": f"The name {_MARK} cannot be used."})
        return {name: _encrypted(each, f"{below}{name}", encrypt) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encrypted(each, f"{below}{number}", encrypt) for number, each in enumerate(value)]
    return value


def _unmasked(sent: Any, shown: Any, stored: Any) -> Any:
    if _is_secret(stored):
        return stored.get_secret_value() if sent == shown else sent
    if isinstance(sent, Mapping) and isinstance(shown, Mapping) and isinstance(stored, Mapping):
        return {name: _unmasked(each, shown.get(name), stored.get(name)) for name, each in sent.items()}
    if isinstance(sent, list) and isinstance(shown, list) and isinstance(stored, list | tuple):
        alike = len(sent) == len(shown)
        return [_of_list(each, number if alike else None, shown, stored) for number, each in enumerate(sent)]
    return sent


def _of_list(sent: Any, number: int | None, shown: Sequence[Any], stored: Sequence[Any]) -> Any:
    if number is None or shown[number] != sent:
        number = shown.index(sent) if shown.count(sent) == 1 else None
    return sent if number is None else _revealed(stored[number])


def _revealed(stored: Any) -> Any:
    if _is_secret(stored):
        return stored.get_secret_value()
    if isinstance(stored, Mapping):
        return {name: _revealed(each) for name, each in stored.items()}
    return [_revealed(each) for each in stored] if isinstance(stored, list | tuple) else stored
