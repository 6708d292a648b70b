"""The rules of the audit log: what an entry holds and how it is written."""

from __future__ import annotations

from pydantic_core import to_jsonable_python

from host.sdk import Action, Records

from .models import Entry

ENTRIES = Records(
    Entry,
    filters={
        "actor_id": "exact",
        "action": "pattern",
        "resource_type": "exact",
        "resource_id": "exact",
        "outcome": "exact",
        "from": "at:gte",
        "to": "at:lt",
    },
    sorts=("at",),
    default_sort="-at",
)

_LENGTHS = {name: field.max_length for name, field in Entry._meta.fields_map.items() if hasattr(field, "max_length")}


async def write(action: Action) -> None:
    """Write the entry of an action, with one insert, in the transaction the action is part of.

    What happens outside every tenant (a sign-in, say) has no log to go to yet and is left out.
    """
    if action.tenant_id is None:
        return
    origin = action.origin
    await ENTRIES.insert(
        at=action.at,
        actor_kind=origin.actor.kind,
        actor_id=origin.actor.id,
        before=to_jsonable_python(action.before, fallback=str),
        after=to_jsonable_python(action.after, fallback=str),
        **{
            name: text[: _LENGTHS[name]]  # whatever a client sends must not undo what it did
            for name, text in {
                "actor_label": origin.actor.label,
                "action": action.name,
                "resource_type": action.resource_type,
                "resource_id": action.resource_id,
                "outcome": action.outcome,
                "reason": action.reason,
                "address": origin.address,
                "user_agent": origin.user_agent,
                "request_id": origin.request_id,
            }.items()
        },
    )
