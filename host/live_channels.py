"""Live channels as a plugin uses them: in the bound tenant, for whoever is acting, after the commit."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from uuid import UUID

from host.contracts import LiveChannel
from host.errors import ConfigurationError
from host.execution_context import ExecutionContext, execution_context, use_context
from host.input_errors import nearest
from host.live.namespace import LiveNamespace
from host.services import services
from tenants import context


def live(channel: str) -> LiveNamespace:
    """A live channel in the bound tenant, as its plugin declared it in `register_live_channels`.

    `publish(key, event, data)` sends a message to whoever follows this key in any process; in a unit of work it is sent
    after the commit. `follow(key, after)` gives the messages of a key in order, each once: first `live.start`, whose
    data `{"recovered": true}` says that every message since the position `after` is kept and comes now, and
    `{"recovered": false}` that what there is must be read anew; it comes again where messages were lost later. An
    unknown position (too old, of another channel, from the future) is not recovered.

    A message may be lost, while Redis is away for instance, so it says that something changed and followers read what.
    Following ends within a second after the tenant is suspended, the plugin switched off or `may_follow` says no.

    Raises:
        ConfigurationError: no loaded plugin declares it.

    Example:
        async with unit_of_work():
            note = await Note.create(text="Buy milk")
            await live("notes.changes").publish("all", "note.created", {"id": note.id})

        async for message in live("notes.changes").follow("all"):
            ...
    """
    declared = services().live_channels.get(channel)
    if declared is None:
        near = nearest(channel, services().live_channels)
        raise ConfigurationError(f"no loaded plugin declares a live channel {channel!r}; correct the name{near}")
    here, tenant_id = execution_context(), context.current()
    return LiveNamespace(
        services().live,
        services().rights,
        declared,
        tenant_id,
        user_id=here.origin.actor.user_id,
        allowed=partial(_may_follow, declared, tenant_id, here),
        after_commit=services().transactions.after_commit,
    )


async def _may_follow(channel: LiveChannel, tenant_id: UUID, here: ExecutionContext, key: str) -> bool:
    """Whether whoever acts in a context may follow a key of a channel now, with what they stand for now."""
    owner = channel.name.partition(".")[0]
    snapshot = await services().enter(tenant_id, owner, False)
    if snapshot is None or channel.may_follow is None:
        return snapshot is not None
    follower, user_id = replace(here, tenant=snapshot, plugin=owner), here.origin.actor.user_id
    if user_id is not None and here.principals is not None:
        member = await services().snapshots.member(tenant_id, user_id, None, None)
        if member is None or member.disabled or member.grants is None:
            return False
        grants = member.grants if here.origin.actor.kind == "user" else here.grants
        follower = replace(follower, grants=grants, principals=member.principals)
    with use_context(follower):
        return await channel.may_follow(key)
