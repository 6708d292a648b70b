"""Manage the suppression list: addresses that a tenant sends no mail to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from host.sdk import Conflict, NotFound, Records, Row, ValidationFailed, actor, address_or_text, signature, unit_of_work

from ..addresses import parse_address
from ..events import AddressSuppressed
from ..models.suppressions import Reason, Suppression

SUPPRESSIONS = Records(
    Suppression,
    filters={"address": "address", "reason": "in", "message_id": "exact"},
    sorts=("created_at", "address"),
    search=("address", "detail"),
)

_AT_ONCE = 1_000  # addresses in one query: every database takes that many


def normalised(address: str) -> str:
    """An address, or a mailbox with a name, as lists of addresses keep it: bare and in lower case.

    Raises:
        ValueError: it is no address; a sentence for people.
    """
    return parse_address(address).key


def hidden(address: str) -> str:
    """What stands for an address whose owner was erased: it tells the bound tenant the address only if it is given."""
    return f"erased:{signature(b'address ' + address.lower().encode()).hex()}"


async def suppressed(addresses: Collection[str]) -> set[str]:
    """Which of these addresses are sent nothing; in the spelling they were given in."""
    spelt: dict[str, list[str]] = {}
    for address in addresses:
        spelt.setdefault(address_or_text(address), []).append(address)
        spelt.setdefault(hidden(address_or_text(address)), []).append(address)
    wanted, found = list(spelt), set[str]()
    for start in range(0, len(wanted), _AT_ONCE):
        rows = Suppression.filter(address__in=wanted[start : start + _AT_ONCE])
        found.update(str(address) for address in await rows.values_list("address", flat=True))
    return {address for known in found for address in spelt[known]}


@dataclass(frozen=True, slots=True)
class Unwanted:
    """An address, normalised, that is to be sent nothing more."""

    address: str
    reason: Reason
    detail: str = ""
    message_id: UUID | None = None


async def suppress(
    address: str, reason: Literal["bounce", "complaint", "manual"], detail: str = "", message_id: UUID | None = None
) -> None:
    """Send nothing more to an address; one that is on the list stays there as it is.

    Raises:
        ValueError: it is no address.
    """
    await suppress_all([Unwanted(normalised(address), Reason(reason), detail, message_id)])


async def suppress_all(unwanted: Sequence[Unwanted]) -> list[str]:
    """Put addresses on the list; returns those that were not on it yet."""
    async with unit_of_work() as work:
        wanted = {each.address: each for each in reversed(unwanted)}  # of several about one address, the first
        for known in await suppressed(wanted):
            del wanted[known]
        if not wanted:
            return []
        rows = [
            Suppression(
                address=each.address,
                reason=each.reason,
                detail=each.detail[:500],
                message_id=each.message_id,
                created_by=actor().user_id,
            )
            for each in wanted.values()
        ]
        # Of two at once that add the same address, the second leaves it as the first wrote it.
        await Suppression.bulk_create(rows, batch_size=_AT_ONCE, ignore_conflicts=True)
        added = {each.address: each.reason.value for each in wanted.values()}
        work.record(
            "mail.suppressions.create", "suppression", next(iter(added)) if len(added) == 1 else "", after=added
        )
        for each in wanted.values():
            work.announce(AddressSuppressed(address=each.address, reason=each.reason.value, message_id=each.message_id))
    return list(added)


async def add(address: str, detail: str = "") -> tuple[Row, bool]:
    """Put an address on the list by hand; its row, and whether it is new there.

    Raises:
        ValidationFailed: it is no address.
    """
    [known_as] = _checked([address])
    async with unit_of_work():
        added = await suppress_all([Unwanted(known_as, Reason.MANUAL, detail)])
        row = await SUPPRESSIONS.find(address=known_as)
    if row is None:
        raise Conflict("The address was taken off the list at this very moment; try again.")
    return row, bool(added)


async def add_all(addresses: Sequence[str], detail: str = "") -> int:
    """Put up to 1,000 addresses on the list by hand, all or none; how many were not on it yet.

    Raises:
        ValidationFailed: some are no addresses.
    """
    unwanted = [Unwanted(address, Reason.MANUAL, detail) for address in _checked(addresses)]
    return len(await suppress_all(unwanted))


def _checked(addresses: Sequence[str]) -> list[str]:
    found, wrong = [], {}
    for position, address in enumerate(addresses):
        try:
            found.append(normalised(address))
        except ValueError as error:
            wrong["address" if len(addresses) == 1 else f"addresses.{position}"] = str(error)
    if wrong:
        raise ValidationFailed(details=dict(list(wrong.items())[:50]))
    return found


async def remove(suppression_id: UUID) -> None:
    """Take an address off the list.

    Raises:
        NotFound: this tenant has no such suppression.
    """
    async with unit_of_work() as work:
        row = await SUPPRESSIONS.remove(suppression_id)
        work.record("mail.suppressions.delete", "suppression", row["address"], before=row)


async def remove_address(address: str) -> None:
    """Take an address off the list, by its name.

    Raises:
        NotFound: it is not on the list.
    """
    try:
        found = await SUPPRESSIONS.find(address=normalised(address))
    except ValueError:
        found = None
    if found is None:
        raise NotFound
    await remove(found["id"])
