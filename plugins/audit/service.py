"""Write audit entries from recorded actions and search them."""

from __future__ import annotations

import re
import secrets
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC
from typing import Any

from uuid_utils.compat import uuid7

from host.sdk import Action, Page, Query, Records, ValidationFailed, in_system_tenant, redacted_text

from .models import Entry
from .plain import plain, text
from .sealing import seal_soon
from .signing import chain_key, commitment, mac

SHOWN = (
    *("id", "at", "actor_kind", "actor_id", "actor_label", "user_id", "is_operator", "action", "resource_type"),
    *("resource_id", "before", "after", "outcome", "reason", "address", "user_agent", "request_id", "erased"),
    *("position", "hash"),
)

ENTRIES = Records(
    Entry,
    fields=SHOWN,
    filters={
        "actor": "actor_label:address",
        "actor_id": "exact",
        "actor_kind": "exact",
        "user_id": "exact",
        "action": "pattern",
        "resource_type": "exact",
        "resource_id": "exact",
        "outcome": "in",
        "request_id": "exact",
        "from": "at:gte",
        "to": "at:lt",
    },
    sorts=("at",),
    default_sort="-at",
    full_text=True,
)

_WRITTEN = Records(Entry, fields=("id",), sorts=("id",), default_sort="id")  # no columns are read back after the insert
_KNOWN = {
    "outcome": ("succeeded", "denied", "failed"),
    "actor_kind": ("user", "api_key", "job", "system", "anonymous"),
}
_LONG_SEARCH = 20  # characters; a longer search text is selective enough by itself
_BETWEEN_WORDS = re.compile(r"[\x00-/:-@\[-`{-\x7f]+")
_LENGTHS = {name: field.max_length for name, field in Entry._meta.fields_map.items() if hasattr(field, "max_length")}


async def write(action: Action) -> None:
    """Insert the signed entry of an action, in the action's own transaction.

    An action outside every tenant, such as a sign-in, is written to the host's own log.
    """
    with in_system_tenant() if action.tenant_id is None else nullcontext():
        values = _values(action)
        values["salt"] = secrets.token_hex(16)
        values["mac"] = mac(chain_key(), values, commitment(values))
        await _WRITTEN.insert(**values)
    await seal_soon(action.tenant_id, action.at)


async def find(query: Query, **where: object) -> Page:
    """A page of entries; raises as `Records.page` does."""
    return await ENTRIES.page(narrowed(query), **where)


def narrowed(query: Query) -> Query:
    """The query, checked, with search words added that its filters imply, so that the full-text index is used.

    Raises:
        ValidationFailed: a filter has a value that no entry can have.
    """
    filters = dict(query.filters)
    for name, allowed in _KNOWN.items():
        if wrong := set(str(filters.get(name) or allowed[0]).split(",")) - set(allowed):
            raise ValidationFailed(details={name: f"{sorted(wrong)[0]!r} is none of {', '.join(allowed)}"})
    since, until = (filters.get(name) for name in ("from", "to"))
    if since is not None and until is not None and since >= until:
        raise ValidationFailed(details={"from": "must be before `to`: nothing lies between them"})
    action = str(filters.get("action", ""))
    implied = [str(filters.get("actor", ""))]
    if "*" in action:  # each part without a wildcard is a word of every match
        implied += [part for part in action.split(".") if "*" not in part]
    implied += [outcome] if (outcome := str(filters.get("outcome", ""))) in _KNOWN["outcome"] else []
    words = [word for value in implied for word in _BETWEEN_WORDS.split(value) if word.isascii() and word.isalnum()]
    search = str(filters.get("q", ""))
    if not words or words == ["succeeded"] or len(search) > _LONG_SEARCH:
        return query
    return replace(query, filters={**filters, "q": " ".join([search, *words[:8]])})


def _values(action: Action) -> dict[str, Any]:
    origin = action.origin
    actor = origin.actor
    return {
        "id": uuid7(),
        "at": action.at.astimezone(UTC),
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "user_id": actor.user_id,
        "is_operator": actor.is_operator,
        "before": plain(action.before, action.public, action.secret),
        "after": plain(action.after, action.public, action.secret),
        **{
            name: text(value, _LENGTHS[name])  # what a client sends must not make the insert fail
            for name, value in {
                "actor_label": actor.label,
                "action": action.name,
                "resource_type": action.resource_type,
                "resource_id": action.resource_id,
                "outcome": action.outcome,
                "reason": redacted_text(action.reason, _LENGTHS["reason"]) if action.reason else "",
                "address": origin.address,
                "user_agent": origin.user_agent,
                "request_id": origin.request_id,
            }.items()
        },
    }
