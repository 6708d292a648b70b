"""Read and change which mail categories an address gets, and make unsubscribe links."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from host.sdk import Row, ValidationFailed, absolute_url, sign_token, tenant_settings, unit_of_work

from ..events import AddressSubscribed, AddressUnsubscribed
from ..models.subscriptions import EVERYTHING, Source, Subscription
from ..settings import TenantSettings
from .suppressions import hidden, normalised

PASS = "unsubscribe"  # noqa: S105 - the purpose of a signed token, not a password
PATH = "/mail/unsubscribe/"

_AT_ONCE = 1_000


# -- links -----------------------------------------------------------------------------------------------


def unsubscribe_link(email: str, category: str) -> str:
    """The URL of the unsubscribe page for an address, spelt as `Address.email`, and a category."""
    return absolute_url(PATH + sign_token(PASS, address=email.lower(), category=category))


def unsubscribe_headers(link: str) -> tuple[tuple[str, str], ...]:
    """The headers of a message with that link to unsubscribe (RFC 2369 section 3.2, RFC 8058 section 2)."""
    return ("List-Unsubscribe", f"<{link}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")


# -- reading ---------------------------------------------------------------------------------------------


async def unsubscribed(pairs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """The (address, category) pairs that are unsubscribed, addresses spelt as `Address.email`.

    Transactional categories never are.
    """
    exempt = await _exempt()
    candidates = [(address, category) for address, category in pairs if category not in exempt]
    stored: dict[tuple[str, str], bool] = {}
    keys = {address: address.lower() for address, _ in candidates}
    spelt = {form: key for address, key in keys.items() for form in (key, hidden(key))}
    addresses = list(spelt)
    categories = [*{category for _, category in candidates}, EVERYTHING]
    for start in range(0, len(addresses), _AT_ONCE):
        rows = Subscription.filter(address__in=addresses[start : start + _AT_ONCE], category__in=categories)
        for address, category, subscribed in await rows.values_list("address", "category", "subscribed"):
            stored[spelt[str(address)], str(category)] = bool(subscribed)
    return {
        (address, category)
        for address, category in candidates
        if not stored.get((keys[address], category), stored.get((keys[address], EVERYTHING), True))
    }


async def preferences(address: str) -> Row:
    """The preferences of an address: `everything`, and sorted `categories` with `subscribed`, `since`, `source`.

    Raises:
        ValidationFailed: it is not a valid address.
    """
    known_as = _checked(address)
    rows = await _rows(known_as)
    exempt = {category: _row(category, None) | {"exempt": True} for category in await _exempt()}
    own_rows = {name: _row(name, row) for name, row in rows.items() if name != EVERYTHING}
    everything = _row(EVERYTHING, rows.get(EVERYTHING))
    del everything["category"], everything["exempt"]
    return {
        "address": known_as,
        "everything": everything,
        "categories": [each for _, each in sorted((own_rows | exempt).items())],
    }


async def wants(address: str, category: str) -> bool:
    """Whether an address is subscribed to a category."""
    return not await unsubscribed([(address, category)])


async def can_end(category: str) -> bool:
    """Whether a category can be unsubscribed from."""
    return category not in await _exempt()


async def _exempt() -> Collection[str]:
    return (await tenant_settings(TenantSettings)).transactional_categories


async def _rows(address: str) -> dict[str, Subscription]:
    return {row.category: row for row in await Subscription.filter(address=address)}


def _row(category: str, row: Subscription | None) -> Row:
    if row is None:
        return {"category": category, "subscribed": True, "since": None, "source": None, "exempt": False}
    source = row.source.value
    return {"category": category, "subscribed": row.subscribed, "since": row.since, "source": source, "exempt": False}


# -- changing --------------------------------------------------------------------------------------------


async def choose(address: str, choices: Mapping[str, bool], source: Source) -> None:
    """Subscribe an address to categories or unsubscribe it; EVERYTHING is applied first and to all categories.

    Raises:
        ValidationFailed: it is not a valid address, or one of the categories cannot be unsubscribed from.
    """
    known_as, exempt = _checked(address), await _exempt()
    if wrong := [category for category, wanted in choices.items() if category in exempt and not wanted]:
        reason = "This is transactional mail, which cannot be unsubscribed from."
        raise ValidationFailed(details={f"categories.{category}": reason for category in wrong})
    async with unit_of_work() as work:
        before = await _rows(known_as)
        after = _after({category: row.subscribed for category, row in before.items()}, choices)
        changed = {
            name: wanted for name, wanted in after.items() if name not in before or before[name].subscribed != wanted
        }
        if not changed:
            return
        await _store(known_as, changed, source)
        was = {name: before[name].subscribed for name in changed if name in before}
        work.record("mail.subscriptions.update", "subscription", known_as, before=was, after=changed)
        for category, wanted in changed.items():
            event = AddressSubscribed if wanted else AddressUnsubscribed
            work.announce(event(address=known_as, category=category, source=source.value))


def _after(said: Mapping[str, bool], choices: Mapping[str, bool]) -> dict[str, bool]:
    """The state of each category after the choices; without categories that need no row."""
    everything = choices.get(EVERYTHING, said.get(EVERYTHING, True))
    after = {name: everything if EVERYTHING in choices else wanted for name, wanted in said.items()}
    if EVERYTHING in choices and (EVERYTHING in said or not everything):
        after[EVERYTHING] = everything
    for category, wanted in choices.items():
        if category != EVERYTHING and (category in said or wanted != everything):
            after[category] = wanted
    return after


async def _store(address: str, changed: Mapping[str, bool], source: Source) -> None:
    now = datetime.now(UTC)
    rows = [
        Subscription(address=address, category=category, subscribed=wanted, since=now, source=source)
        for category, wanted in changed.items()
    ]
    await Subscription.bulk_create(
        rows,
        on_conflict=("tenant_id", "address", "category"),
        update_fields=("subscribed", "since", "source", "updated_at"),
    )


def _checked(address: str) -> str:
    try:
        return normalised(address)
    except ValueError as error:
        raise ValidationFailed(details={"address": str(error)}) from None
