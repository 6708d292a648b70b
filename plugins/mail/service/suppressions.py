"""Manage the suppression list: addresses that a tenant sends no mail to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from host.sdk import Conflict, NotFound, Records, Row, ValidationFailed, actor, signature, unit_of_work

from ..addresses import parse_address
from ..events import AddressSuppressed
from ..models.suppressions import Reason, Suppression

SUPPRESSIONS = Records(
    Suppression,
    filters={"address": "address", "reason": "in", "message_id": "exact"},
    sorts=("created_at", "address"),
    search=("address", "detail"),
)

_AT_ONCE = 1_000  # addresses in one query, within the limits of every database


def normalised(address: str) -> str:
    """Normalise an address, with or without a name, to the bare address in lower case.

    Raises:
        ValueError: it is not a valid address; a sentence for people.
    """
    return parse_address(address).key


def hidden(address: str) -> str:
    """A keyed hash in place of an erased address: it only tells whether a given address is the same."""
    return f"erased:{signature(b'address ' + address.lower().encode()).hex()}"


async def suppressed(addresses: Collection[str]) -> set[str]:
    """Which of these addresses, spelt as `Address.email`, are suppressed."""
    spelt: dict[str, list[str]] = {}
    for address in addresses:
        spelt.setdefault(address.lower(), []).append(address)
        spelt.setdefault(hidden(address), []).append(address)
    keys, listed = list(spelt), set[str]()
    for start in range(0, len(keys), _AT_ONCE):
        rows = Suppression.filter(address__in=keys[start : start + _AT_ONCE])
        listed.update(str(address) for address in await rows.values_list("address", flat=True))
    return {address for key in listed for address in spelt[key]}


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A normalised address to suppress."""

    address: str
    reason: Reason
    detail: str = ""
    message_id: UUID | None = None


async def suppress(
    address: str, reason: Literal["bounce", "complaint", "manual"], detail: str = "", message_id: UUID | None = None
) -> None:
    """Suppress an address; one that is on the list already stays as it is.

    Raises:
        ValueError: it is not a valid address.
    """
    await suppress_all([Unwanted(normalised(address), Reason(reason), detail, message_id)])


async def suppress_all(unwanted: Sequence[Unwanted]) -> list[str]:
    """Add addresses to the list; returns those that were not on it yet."""
    async with unit_of_work() as work:
        new = {each.address: each for each in reversed(unwanted)}  # of several for one address, the first wins
        for listed in await suppressed(new):
            del new[listed]
        if not new:
            return []
        rows = [
            Suppression(
                address=each.address,
                reason=each.reason,
                detail=each.detail[:500],
                message_id=each.message_id,
                created_by=actor().user_id,
            )
            for each in new.values()
        ]
        # When two add the same address at the same time, the first row stays.
        await Suppression.bulk_create(rows, batch_size=_AT_ONCE, ignore_conflicts=True)
        added = {each.address: each.reason.value for each in new.values()}
        work.record(
            "mail.suppressions.create", "suppression", next(iter(added)) if len(added) == 1 else "", after=added
        )
        for each in new.values():
            work.announce(AddressSuppressed(address=each.address, reason=each.reason.value, message_id=each.message_id))
    return list(added)


async def add(address: str, detail: str = "") -> tuple[Row, bool]:
    """Add an address to the list by hand; returns its row, and whether it is new.

    Raises:
        ValidationFailed: it is not a valid address.
    """
    [known_as] = _checked([address])
    async with unit_of_work():
        added = await suppress_all([Unwanted(known_as, Reason.MANUAL, detail)])
        row = await SUPPRESSIONS.find(address=known_as)
    if row is None:
        raise Conflict("The address was removed from the list at the same moment; try again.")
    return row, bool(added)


async def add_all(addresses: Sequence[str], detail: str = "") -> int:
    """Add up to 1,000 addresses to the list by hand, all or none; returns how many were not on it yet.

    Raises:
        ValidationFailed: some are not valid addresses.
    """
    unwanted = [Unwanted(address, Reason.MANUAL, detail) for address in _checked(addresses)]
    return len(await suppress_all(unwanted))


def _checked(addresses: Sequence[str]) -> list[str]:
    keys, wrong = [], {}
    for position, address in enumerate(addresses):
        try:
            keys.append(normalised(address))
        except ValueError as error:
            wrong["address" if len(addresses) == 1 else f"addresses.{position}"] = str(error)
    if wrong:
        raise ValidationFailed(details=dict(list(wrong.items())[:50]))
    return keys


async def remove(suppression_id: UUID) -> None:
    """Remove an address from the list.

    Raises:
        NotFound: this tenant has no such suppression.
    """
    async with unit_of_work() as work:
        row = await SUPPRESSIONS.remove(suppression_id)
        work.record("mail.suppressions.delete", "suppression", row["address"], before=row)


async def remove_address(address: str) -> None:
    """Remove an address from the list, by the address.

    Raises:
        NotFound: it is not on the list.
    """
    try:
        row = await SUPPRESSIONS.find(address=normalised(address))
    except ValueError:
        row = None
    if row is None:
        raise NotFound
    await remove(row["id"])
