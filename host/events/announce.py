"""Announcing: an event becomes one durable job per listener, stored in the transaction that caused it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import SecretStr, ValidationError

from host.contracts import Event, EventType, PublicMark, SecretMark, Subscription, Task
from host.input_errors import validation_messages
from host.instruments import tally
from host.jobs.catalog import JobDraft
from host.jobs.outcomes import GiveUp
from tenants.context import current_or_none

IsOn = Callable[[UUID | None, str], bool]
"""Whether a plugin listens in a tenant now; asked while the event is announced, so it must not wait."""

_TRIES, _BACKOFF, _TIMEOUT = 8, 5.0, 60.0  # the last two in seconds


@dataclass(frozen=True, slots=True)
class _Hearing:
    event: str
    plugin: str
    task: str
    subscription: Subscription
    model: type[Event]


class Announcer:
    """Who hears of what. Events are jobs: there is no second outbox, and what may not run is parked like any job."""

    def __init__(
        self,
        events: Mapping[str, EventType],
        listeners: Mapping[str, Sequence[tuple[str, Subscription]]],
        is_on: IsOn = lambda tenant_id, plugin: True,
    ) -> None:
        """Take what was collected at the start.

        Args:
            events: "<plugin>.<ClassName>" -> its declaration.
            listeners: event name -> (plugin that listens, how), in the order they were registered.
            is_on: a plugin that is off when the event happens does not hear of it later.

        Raises:
            ValueError: a plugin brings two listeners of one name for one event.
        """
        self._names = {declared.model: name for name, declared in events.items()}
        self._is_on = is_on
        self._hearings: dict[str, tuple[_Hearing, ...]] = {}
        # An event nobody here declares is never announced here: its plugin is not loaded.
        for name in listeners.keys() & events.keys():
            self._hearings[name] = tuple(_hearings(name, events[name].model, listeners[name]))

    def tasks(self) -> Mapping[str, Task]:
        """The tasks that deliver, by "<plugin>.on.<event>.<listener>"; to be merged into the catalog."""
        return {
            hearing.task: Task(
                name=hearing.task.partition(".")[2],
                run=_delivery(hearing),
                summary=f"tells {hearing.plugin} of an event",
                timeout=_TIMEOUT,
                tries=_TRIES,
                backoff=_BACKOFF,
                public=_public(hearing.model),
            )
            for hearings in self._hearings.values()
            for hearing in hearings
        }

    def jobs_for(self, event: Event) -> Sequence[JobDraft]:
        """One job per listener that is on in the bound tenant, in the name of the bound origin.

        Raises:
            LookupError: no plugin registered this event.
        """
        name = self._names.get(type(event))
        if name is None:
            raise LookupError(f"{type(event).__name__} is announced, but no plugin returned it from register_events()")
        tenant_id = current_or_none()
        arguments = {"event": _stored(event)}
        return [
            JobDraft(hearing.task, tenant_id, arguments=arguments, priority=hearing.subscription.priority)
            for hearing in self._hearings.get(name, ())
            if self._is_on(tenant_id, hearing.plugin)
        ]

    def announced(self, events: Sequence[Event]) -> None:
        """Count events whose transaction is committed."""
        for event in events:
            tally("tenantry_events_announced_total", self._names[type(event)])


def _stored(event: Event) -> dict[str, Any]:
    """An event as JSON, but for what is secret in it: that stays a SecretStr, which the jobs' store encrypts."""
    real = event.model_dump()
    for name, declared in type(event).model_fields.items():
        if isinstance(real[name], str) and any(isinstance(each, SecretMark) for each in declared.metadata):
            real[name] = SecretStr(real[name])
    said = event.model_dump(mode="json")
    return {name: _with_secrets(shown, real[name]) for name, shown in said.items()}


def _public(model: type[Event]) -> tuple[str, ...]:
    """The fields of an event that it declares to be no secrets."""
    fields = model.model_fields.items()
    return tuple(name for name, each in fields if any(isinstance(mark, PublicMark) for mark in each.metadata))


def _with_secrets(shown: Any, real: Any) -> Any:
    if isinstance(real, SecretStr):
        return real
    if isinstance(shown, dict) and isinstance(real, dict):
        return {name: _with_secrets(each, real.get(name)) for name, each in shown.items()}
    if isinstance(shown, list) and isinstance(real, list | tuple):
        return [_with_secrets(*pair) for pair in zip(shown, real, strict=True)]
    return shown


def _hearings(event: str, model: type[Event], listeners: Iterable[tuple[str, Subscription]]) -> Iterable[_Hearing]:
    known: set[str] = set()
    for plugin, heard in listeners:
        # the listener's name, not its number: a job stored by the last release finds it in the next one
        task = f"{plugin}.on.{event}.{getattr(heard.listener, '__name__', type(heard.listener).__name__)}"
        if task in known:
            raise ValueError(
                f"plugin {plugin!r} has two listeners for {event!r} of one name: {task.rpartition('.')[2]}"
            )
        known.add(task)
        yield _Hearing(event, plugin, task, heard, model)


def _delivery(hearing: _Hearing) -> Callable[..., Awaitable[Any]]:
    async def deliver(event: dict[str, Any]) -> None:
        try:
            heard = hearing.model.model_validate(event)
        except ValidationError as error:
            wrong = validation_messages(error, event, "event")  # without the input: it may hold a secret
            raise GiveUp(f"the stored event does not fit {hearing.event}: {wrong}") from None
        await hearing.subscription.listener(heard)
        tally("tenantry_events_delivered_total", hearing.event, hearing.plugin)

    return deliver
