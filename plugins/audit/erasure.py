"""Erase a person's data from the audit log; the hash chain stays verifiable through commitments."""

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
_LASTING = ("resource_id", "request_id")  # may contain an address of the person all the same


async def erase(user_id: UUID) -> int:
    """Erase an account's data from the bound tenant's log; returns the number of entries. See `erase_person`."""
    return await erase_person(Person((), user_id, frozenset({user_id})))


async def find_person(person: Person) -> int:
    """How many entries of the bound tenant's log concern a person and are not erased."""
    return len(await _ids(person))


async def erase_person(person: Person) -> int:
    """Erase a person's data from the bound tenant's log; returns the number of entries.

    Concerns every entry that the person caused, that is about their account, sessions or keys, or that contains one of
    their addresses. Erased are name, network address, user agent, reason, old and new values, and the person's
    addresses in any other field. What was done, when and by which id stays.
    """
    await seal()  # entries from before entries were signed are signed first
    addresses = tuple(dict.fromkeys((*person.addresses, *await _addresses(person))))
    person = Person(addresses, person.user_id, person.ids)
    count, ids = 0, await _ids(person)
    async for rows in _entries(ids):
        await _erase(person, rows)
        count += len(rows)
        await report_progress(count / len(ids))
    return count


async def _ids(person: Person) -> set[UUID]:
    """Ids of all entries to erase; records of erasures stay unless they contain one of the person's addresses."""
    return {*await rows_mentioning(Entry, person), *await _about(person, ~_REQUESTED)}


async def _about(person: Person, *conditions: Q) -> set[UUID]:
    """Ids of entries that the person caused or that concern their account, sessions or keys, unless erased already."""
    if not (ids := sorted(person.ids)):
        return set()
    named = Q(resource_type__in=("user", "session", "api_key"), resource_id__in=[str(own_id) for own_id in ids])
    about = Q(actor_id__in=ids) | Q(user_id__in=ids) | named
    entry_ids = await Entry.filter(about, *conditions, erased__isnull=True).values_list("id", flat=True)
    return set(cast(list[UUID], entry_ids))


async def _entries(ids: Collection[UUID]) -> AsyncIterator[list[Row]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), BATCH):
        async for rows in WHOLE.chunks(Query(filters={"ids": ordered[start : start + BATCH]}), BATCH):
            yield rows


async def _addresses(person: Person) -> list[str]:
    """The mail addresses of the person that their own entries contain."""
    if person.user_id is None:
        return []
    entry_ids = await _about(person)
    return [address async for rows in _entries(entry_ids) for row in rows for address in _addresses_in(row, person)]


def _addresses_in(row: Row, person: Person) -> list[str]:
    candidates = [row["actor_label"]] if row["actor_id"] == person.user_id and row["actor_kind"] == "user" else []
    if row["resource_type"] == "user" and row["resource_id"] == str(person.user_id):
        candidates += [str(values.get("email") or "") for values in (row["before"], row["after"])]
    return [address for address in candidates if "@" in address]


async def _erase(person: Person, rows: Sequence[Row]) -> None:
    changes, key, chain = [], chain_key(), await Chain.get_or_none()
    async with unit_of_work():
        for row in rows:
            committed = row["erased"][:64] if row["erased"] else commitment(row)
            lasting = {name: without(person, row[name]) for name in _LASTING}
            left = {**row, **dict(zip(_COLUMNS, _EMPTY, strict=True)), **lasting}
            words = (
                words_of(left, chain.tenant_id) if row["position"] and chain else None
            )  # an unsealed entry gets its words when it is sealed
            changes.append((row["id"], *_EMPTY, *lasting.values(), committed + proof(key, left, committed), words))
        await WHOLE.change_each((*_COLUMNS, *_LASTING, "erased", "words"), changes)


PERSONAL_DATA = (
    PersonalData(
        "entries",
        "Entries of the audit log: what the person did, what was done to them, what names them",
        find_person,
        erase_person,
        tables=("audit_entries",),
        retained="That something was done, when, and by which id.",
    ),
)
