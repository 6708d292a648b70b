"""Erasure: a person's data leaves the log, and the chain stays whole: what was committed to takes its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from host.sdk import Query, Row, report_progress, unit_of_work

from .models import Chain
from .sealing import WHOLE, seal
from .signing import chain_key, commitment, proof
from .words import words_of

BATCH = 500
OWN = ("audit.erasures.create", "audit.erasures.finish")  # that a person's data was erased, and why, stays
_COLUMNS = ("actor_label", "address", "user_agent", "reason", "before", "after", "salt", "erased", "words")
_EMPTY: tuple[object, ...] = ("", "", "", "", {}, {}, "")


async def erase(user_id: UUID) -> int:
    """Erase what the bound tenant's log says of a person; how many entries.

    Of every entry of what they did, of what was done to their account, and that names one of their e-mail addresses:
    who it was by name, from where, with what program, and the values. That something was done, by which id, stays.
    """
    await seal()  # what is older than signatures gets one first
    key, known, count = chain_key(), set[str](), 0
    about = ({"actor_id": user_id}, {"user_id": user_id}, {"resource_type": "user", "resource_id": str(user_id)})
    for where in about:
        async for rows in WHOLE.chunks(Query(), BATCH, erased=None, **where):
            known |= {address for row in rows for address in _addresses(row, user_id)}
            count += await _erase(key, rows)
        await report_progress(0.5)
    for address in sorted(known):
        async for rows in WHOLE.chunks(Query(filters={"q": address}), BATCH, erased=None):
            count += await _erase(key, [row for row in rows if _mentions(row, address)])
    return count


async def _erase(key: bytes, rows: Sequence[Row]) -> int:
    changes, chain = [], await Chain.get_or_none()
    async with unit_of_work():
        for row in rows:
            if row["action"] in OWN:
                continue
            committed = commitment(row)
            left = {**row, **dict(zip(_COLUMNS, _EMPTY, strict=False))}
            words = words_of(left, chain.tenant_id) if row["position"] and chain else None  # else when it is sealed
            changes.append((row["id"], *_EMPTY, committed + proof(key, row["id"], committed), words))
        await WHOLE.change_each(_COLUMNS, changes)
    return len(changes)


def _addresses(row: Row, user_id: UUID) -> set[str]:
    """The person's e-mail addresses that an entry of theirs gives away."""
    found = {row["actor_label"]} if row["actor_id"] == user_id and row["actor_kind"] == "user" else set()
    if row["resource_type"] == "user" and row["resource_id"] == str(user_id):
        found |= {str(values.get("email") or "") for values in (row["before"], row["after"])}
    return {each for each in found if "@" in each}


def _mentions(row: Mapping[str, Any], address: str) -> bool:
    values = orjson.dumps([row["before"], row["after"]]).decode()
    return any(address in said for said in (values, row["actor_label"], row["reason"], row["resource_id"]))
