"""Checkpoints: the head of a tenant's chain, signed and kept outside the database, in the plugin's stored files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from host.sdk import NotFound, storage

from .signing import head_signature, same

KEY = "checkpoint.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain goes, and from where on it is kept; `signature` is over all the rest."""

    position: int
    hash: str
    pruned_position: int
    pruned_hash: str
    sealed_at: datetime
    signature: str = ""

    def signed(self, key: bytes) -> Self:
        """The same with its signature."""
        return type(self)(**{**asdict(self), "signature": head_signature(key, asdict(self))})

    def is_genuine(self, key: bytes) -> bool:
        """Whether the host signed it."""
        return same(self.signature, head_signature(key, asdict(self)))


_HEAD: TypeAdapter[Head] = TypeAdapter(Head)


async def look() -> tuple[Head | None, str]:
    """The bound tenant's checkpoint, genuine or not, and what is wrong with the file: "", "is gone", "cannot be read".

    Raises:
        Unavailable: the storage is away.
    """
    try:
        content = b"".join([piece async for piece in await storage().get(KEY)])
        return read(content), ""
    except NotFound:
        return None, "is gone"
    except ValueError:
        return None, "cannot be read"


async def stored() -> Head | None:
    """The bound tenant's checkpoint, genuine or not; None when there is none, or it cannot be read.

    Raises:
        Unavailable: the storage is away.
    """
    return (await look())[0]


async def store(head: Head) -> None:
    """Keep a head as the bound tenant's checkpoint, in place of an older one."""
    await storage().put(KEY, _HEAD.dump_json(head))


def read(content: bytes | Mapping[str, Any]) -> Head:
    """A checkpoint as it was written.

    Raises:
        ValueError: it is none.
    """
    try:
        return _HEAD.validate_json(content) if isinstance(content, bytes) else _HEAD.validate_python(content)
    except ValidationError as error:
        raise ValueError("this is no checkpoint of an audit log") from error


def shown(head: Head) -> dict[str, Any]:
    """A head as the API shows it and `read` understands it."""
    return asdict(head)
