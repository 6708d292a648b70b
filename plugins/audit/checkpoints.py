"""Store the signed head of a tenant's audit chain outside the database, in the plugin's file storage."""

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
    """A chain's last sealed and last pruned position, with their hashes; `signature` covers all other fields."""

    position: int
    hash: str
    pruned_position: int
    pruned_hash: str
    sealed_at: datetime
    signature: str = ""

    def signed(self, key: bytes) -> Self:
        """A copy of this head with its signature."""
        return type(self)(**{**asdict(self), "signature": head_signature(key, asdict(self))})

    def is_genuine(self, key: bytes) -> bool:
        """Whether the signature was made with this key."""
        return same(self.signature, head_signature(key, asdict(self)))


_HEAD: TypeAdapter[Head] = TypeAdapter(Head)


async def look() -> tuple[Head | None, str]:
    """The bound tenant's checkpoint, its signature unchecked, and its fault: "", "is gone" or "cannot be read".

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
    """The bound tenant's checkpoint, its signature unchecked; None if it is missing or cannot be read.

    Raises:
        Unavailable: the storage is away.
    """
    return (await look())[0]


async def store(head: Head) -> None:
    """Store a head as the bound tenant's checkpoint, replacing an older one."""
    await storage().put(KEY, _HEAD.dump_json(head))


def read(content: bytes | Mapping[str, Any]) -> Head:
    """Parse a stored checkpoint.

    Raises:
        ValueError: the content is not a checkpoint.
    """
    try:
        return _HEAD.validate_json(content) if isinstance(content, bytes) else _HEAD.validate_python(content)
    except ValidationError as error:
        raise ValueError("this is not a checkpoint of an audit log") from error


def shown(head: Head) -> dict[str, Any]:
    """A head as the API returns it and `read` accepts it."""
    return asdict(head)
