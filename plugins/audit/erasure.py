"""Erasure: a person's data leaves the log, and the chain stays whole: what was committed to takes its place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import cast
from uuid import UUID

from tortoise.expressions import Q

from host.sdk import (
    Person,
    PersonalData,
    Query,
    Row,
    report_progress,
    rows_mentioning,
    unit_of_work,
    without,
)

from .models import Chain, Entry
from .sealing import WHOLE, seal
from .signing import chain_key, commitment, proof
from .words import words_of

BATCH = 500
_REQUESTED = Q(action__endswith=".erasures.create") | Q(action__endswith=".erasures.finish")
_COLUMNS = ("actor_label", "address", "user_agent", "reason", "before", "after", "salt")
_EMPTY: tuple[object, ...] = ("", "", "", "", {}, {}, "")
_LASTING = ("resource_id", "request_id")  # where an address may stand all the same


async def erase(user_id: UUID) -> int:
    """Erase what the bound tenant's log says of an account; how many entries. See `erase_person`."""
    return await erase_person(Person((), user_id, frozenset({user_id})))


async def find_person(person: Person) -> int:
    """How many entries of the bound tenant's log tell of a person and are not erased."""
    return len(await _ids(person))


async def erase_person(person: Person) -> int:
    """Erase what the bound tenant's log says of a person; how many entries.

    Of every entry of what they did, of what was done to their account, sessions and keys, and that names one of their
    addresses: who it was by name, from where, with what program, and the values; the address itself wherever it
    stands. That something was done, by which id, stays.
    """
    await seal()  # what is older than signatures gets one first
    known = Person(tuple(dict.fromkeys((*person.addresses, *await _addresses(person)))), person.user_id, person.ids)
    count, ids = 0, await _ids(known)
    async for rows in _entries(ids):
        await _erase(known, rows)
        count += len(rows)
        await report_progress(count / len(ids))
    return count


async def _ids(person: Person) -> set[UUID]:
    """Of all entries to erase: that a person's data was erased, and why, stays, as long as it does not name them."""
    return {*await rows_mentioning(Entry, person), *await _about(person, ~_REQUESTED)}


async def _about(person: Person, *conditions: Q) -> set[UUID]:
    """Of what the person did and of what was done to their account, sessions and keys, unless it is erased already."""
    if not (ids := sorted(person.ids)):
        return set()
    named = Q(resource_type__in=("user", "session", "api_key"), resource_id__in=[str(each) for each in ids])
    about = Q(actor_id__in=ids) | Q(user_id__in=ids) | named
    found = await Entry.filter(about, *conditions, erased__isnull=True).values_list("id", flat=True)
    return set(cast(list[UUID], found))


async def _entries(ids: Collection[UUID]) -> AsyncIterator[list[Row]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), BATCH):
        async for rows in WHOLE.chunks(Query(filters={"ids": ordered[start : start + BATCH]}), BATCH):
            yield rows


async def _addresses(person: Person) -> list[str]:
    """The person's addresses that entries of theirs give away."""
    if person.user_id is None:
        return []
    found = await _about(person)
    return [address async for rows in _entries(found) for row in rows for address in _given_away(row, person)]


def _given_away(row: Row, person: Person) -> list[str]:
    found = [row["actor_label"]] if row["actor_id"] == person.user_id and row["actor_kind"] == "user" else []
    if row["resource_type"] == "user" and row["resource_id"] == str(person.user_id):
        found += [str(values.get("email") or "") for values in (row["before"], row["after"])]
    return [each for each in found if "@" in each]


async def _erase(person: Person, rows: Sequence[Row]) -> None:
    changes, key, chain = [], chain_key(), await Chain.get_or_none()
    async with unit_of_work():
        for row in rows:
            committed = row["erased"][:64] if row["erased"] else commitment(row)
            lasting = {name: without(person, row[name]) for name in _LASTING}
            left = {**row, **dict(zip(_COLUMNS, _EMPTY, strict=True)), **lasting}
            words = words_of(left, chain.tenant_id) if row["position"] and chain else None  # else when it is sealed
            changes.append((row["id"], *_EMPTY, *lasting.values(), committed + proof(key, left, committed), words))
        await WHOLE.change_each((*_COLUMNS, *_LASTING, "erased", "words"), changes)


PERSONAL_DATA = (
    PersonalData(
        "entries",
        "Entries of the audit log: what the person did, what was done to them, what names them",
        find_person,
        erase_person,
        tables=("audit_entries",),
        kept="That something was done, when, and by which id.",
    ),
)
