"""Keyed hashes of the audit log: sign each entry and link it to its position in the chain.

    commitment = SHA-256(salt, personal fields)
    mac        = MAC(key, all other fields, commitment)             made when the entry is written
    hash(i)    = MAC(key, hash(i-1), position i, mac(i))            made when it is sealed
    hash(0)    = MAC(key, "genesis")

MAC is keyed BLAKE2b with 256 bits (RFC 7693). The key belongs to this plugin and tenant and is derived from the
deployment's secret, so whoever can write the database but lacks the secret can neither alter nor add an entry. The
personal fields enter only as a salted commitment: when they and the salt are erased, the commitment and a proof that
the host erased them are stored instead. The proof covers all remaining fields, so that an address can also be removed
from a lasting field, such as the id of the changed resource.
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
"""Fields that erasure empties."""

LASTING = (
    *("id", "at", "actor_kind", "actor_id", "user_id", "is_operator", "action", "resource_type", "resource_id"),
    *("outcome", "request_id"),
)
"""Fields that stay as long as the entry."""

_HEAD = ("position", "hash", "pruned_position", "pruned_hash", "sealed_at")
_personal, _lasting, _head = itemgetter("salt", *PERSONAL), itemgetter(*LASTING), itemgetter(*_HEAD)


def chain_key() -> bytes:
    """The key of the bound tenant's entries; 32 bytes."""
    return signature(b"entries", secret=settings(Settings).chain_secret.get_secret_value())


def commitment(entry: Mapping[str, Any]) -> str:
    """Commitment to an entry's personal fields and its hexadecimal `salt`; 64 hexadecimal digits."""
    return sha256(orjson.dumps(_personal(entry), option=orjson.OPT_SORT_KEYS)).hexdigest()


def mac(key: bytes, entry: Mapping[str, Any], committed: str) -> str:
    """Signature of an entry's lasting fields and the commitment to its personal ones."""
    signed = orjson.dumps((committed, _lasting(entry)), default=str, option=orjson.OPT_UTC_Z)
    return _mac(key, signed)


def proof(key: bytes, left: Mapping[str, Any], committed: str) -> str:
    """Proof that the host erased an entry: a signature of the remaining fields and the entry's original signature."""
    signed = orjson.dumps((committed, left["mac"], _lasting(left)), default=str, option=orjson.OPT_UTC_Z)
    return _mac(key, b"erased " + signed)


def earlier_proof(key: bytes, entry_id: object, committed: str) -> str:
    """The former kind of proof, from when only the personal fields could be erased."""
    return _mac(key, f"erased {entry_id} {committed}".encode())


def genesis(key: bytes) -> str:
    """The hash that the first entry of a chain is linked to."""
    return _mac(key, b"genesis")


def link(key: bytes, before: str, position: int, entry_mac: str) -> str:
    """The hash of an entry at its position, from the hash of the entry before it."""
    return _mac(key, f"{before} {position} {entry_mac}".encode())


def head_signature(key: bytes, head: Mapping[str, Any]) -> str:
    """Signature of a chain's head."""
    return _mac(key, b"head " + orjson.dumps(_head(head), option=orjson.OPT_UTC_Z))


def same(left: str, right: str) -> bool:
    """Compare two signatures in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())


def _mac(key: bytes, message: bytes) -> str:
    return blake2b(message, key=key, digest_size=32).hexdigest()
