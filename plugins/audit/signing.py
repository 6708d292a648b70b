"""Signing: what an entry is signed with when it is written, and what binds it to its place in the chain.

    commitment = SHA-256(salt, personal fields)
    mac        = MAC(key, all other fields, commitment)             made when the entry is written
    hash(i)    = MAC(key, hash(i-1), position i, mac(i))            made when it is sealed
    hash(0)    = MAC(key, "genesis")

MAC is keyed BLAKE2b with 256 bits (RFC 7693). The key is the plugin's own in the tenant, derived from the deployment's
secret, so whoever can write the database but does not have the secret can neither alter nor add an entry. The personal
fields enter only as a salted commitment: they can be erased, their salt with them, and commitment and proof (that the
host erased them) take their place. The proof is over all that is left, so that an address can also be taken out of a
field that lasts, such as the id of the thing that was changed.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import blake2b, sha256
from operator import itemgetter
from typing import Any

import orjson

from host.sdk import settings, signature

from .settings import Settings

PERSONAL = ("actor_label", "address", "user_agent", "reason", "before", "after")
"""What can be erased."""

LASTING = (
    *("id", "at", "actor_kind", "actor_id", "user_id", "is_operator", "action", "resource_type", "resource_id"),
    *("outcome", "request_id"),
)
"""What stays as long as the entry."""

_HEAD = ("position", "hash", "pruned_position", "pruned_hash", "sealed_at")
_personal, _lasting, _head = itemgetter("salt", *PERSONAL), itemgetter(*LASTING), itemgetter(*_HEAD)


def chain_key() -> bytes:
    """The key of the bound tenant's entries; 32 bytes."""
    return signature(b"entries", secret=settings(Settings).chain_secret.get_secret_value())


def commitment(entry: Mapping[str, Any]) -> str:
    """To the personal fields of an entry, whose `salt` is hexadecimal; hexadecimal itself."""
    return sha256(orjson.dumps(_personal(entry), option=orjson.OPT_SORT_KEYS)).hexdigest()


def mac(key: bytes, entry: Mapping[str, Any], committed: str) -> str:
    """Of an entry, with the commitment to its personal fields."""
    said = orjson.dumps((committed, _lasting(entry)), default=str, option=orjson.OPT_UTC_Z)
    return _mac(key, said)


def proof(key: bytes, left: Mapping[str, Any], committed: str) -> str:
    """That it was the host that erased an entry: of what is left of it, with the signature it was written with."""
    said = orjson.dumps((committed, left["mac"], _lasting(left)), default=str, option=orjson.OPT_UTC_Z)
    return _mac(key, b"erased " + said)


def earlier_proof(key: bytes, entry_id: object, committed: str) -> str:
    """The same as it was made while nothing but the personal fields was ever erased."""
    return _mac(key, f"erased {entry_id} {committed}".encode())


def genesis(key: bytes) -> str:
    """What the first entry of a chain is bound to."""
    return _mac(key, b"genesis")


def link(key: bytes, before: str, position: int, entry_mac: str) -> str:
    """The hash of an entry in its place."""
    return _mac(key, f"{before} {position} {entry_mac}".encode())


def head_signature(key: bytes, head: Mapping[str, Any]) -> str:
    """Of how far a chain goes and from where on it is kept."""
    return _mac(key, b"head " + orjson.dumps(_head(head), option=orjson.OPT_UTC_Z))


def same(one: str, other: str) -> bool:
    """Whether two signatures are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _mac(key: bytes, said: bytes) -> str:
    return blake2b(said, key=key, digest_size=32).hexdigest()
