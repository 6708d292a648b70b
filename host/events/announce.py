"""Turn an announced event into one durable job per listener, stored in the transaction that announced it."""

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
"""Whether a plugin is on in a tenant now; called while the event is announced, so it must not block."""

_TRIES, _BACKOFF, _TIMEOUT = 8, 5.0, 60.0  # the last two in seconds


@dataclass(frozen=True, slots=True)
class _Delivery:
    event: str
    plugin: str
    task: str
    subscription: Subscription
    model: type[Event]


class Announcer:
    """Makes jobs from events, one per listener; a delivery that may not run is parked like any job."""

    def __init__(
        self,
        events: Mapping[str, EventType],
        listeners: Sequence[tuple[str, Subscription]],
        is_on: IsOn = lambda tenant_id, plugin: True,
    ) -> None:
        """Take what was collected at the start.

        Args:
            events: "<plugin>.<ClassName>" -> its declaration.
            listeners: the plugin that listens, and to what and how, in load order.
            is_on: a plugin that is off when the event is announced does not receive it later.

        Raises:
            ValueError: a plugin has two listeners of the same name for one event.
        """
        self._names = {declared.model: name for name, declared in events.items()}
        self._is_on = is_on
        # An event that no loaded plugin declares is never announced, so nobody hears of it.
        self._deliveries = {name: tuple(_deliveries(name, events[name].model, listeners)) for name in events}

    def tasks(self) -> Mapping[str, Task]:
        """The tasks that deliver events, by "<plugin>.on.<event>.<listener>"; to be merged into the catalog."""
        return {
            delivery.task: Task(
                name=delivery.task.partition(".")[2],
                run=_deliver_task(delivery),
                summary=f"tells {delivery.plugin} of an event",
                timeout=_TIMEOUT,
                tries=_TRIES,
                backoff=_BACKOFF,
                public=_public(delivery.model),
            )
            for deliveries in self._deliveries.values()
            for delivery in deliveries
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
            JobDraft(delivery.task, tenant_id, arguments=arguments, priority=delivery.subscription.priority)
            for delivery in self._deliveries.get(name, ())
            if self._is_on(tenant_id, delivery.plugin)
        ]

    def announced(self, events: Sequence[Event]) -> None:
        """Count events whose transaction is committed."""
        for event in events:
            tally("tenantry_events_announced_total", self._names[type(event)])


def _stored(event: Event) -> dict[str, Any]:
    """An event as JSON, but for what is secret in it: that stays a SecretStr, which the job store encrypts."""
    values = event.model_dump()
    for name, declared in type(event).model_fields.items():
        if isinstance(values[name], str) and any(isinstance(mark, SecretMark) for mark in declared.metadata):
            values[name] = SecretStr(values[name])
    stored = event.model_dump(mode="json")
    return {name: _with_secrets(shown, values[name]) for name, shown in stored.items()}


def _public(model: type[Event]) -> tuple[str, ...]:
    """The fields of an event that it declares to be no secrets."""
    fields = model.model_fields.items()
    return tuple(name for name, declared in fields if any(isinstance(mark, PublicMark) for mark in declared.metadata))


def _with_secrets(shown: Any, real: Any) -> Any:
    if isinstance(real, SecretStr):
        return real
    if isinstance(shown, dict) and isinstance(real, dict):
        return {name: _with_secrets(item, real.get(name)) for name, item in shown.items()}
    if isinstance(shown, list) and isinstance(real, list | tuple):
        return [_with_secrets(*pair) for pair in zip(shown, real, strict=True)]
    return shown


def _deliveries(event: str, model: type[Event], listeners: Iterable[tuple[str, Subscription]]) -> Iterable[_Delivery]:
    tasks: set[str] = set()
    for plugin, subscription in listeners:
        if subscription.event != event:
            continue
        # the listener's name, not its number: a job stored by the last release finds it in the next one
        task = f"{plugin}.on.{event}.{getattr(subscription.listener, '__name__', type(subscription.listener).__name__)}"
        if task in tasks:
            raise ValueError(
                f"plugin {plugin!r} has two listeners for {event!r} named {task.rpartition('.')[2]}: rename one"
            )
        tasks.add(task)
        yield _Delivery(event, plugin, task, subscription, model)


def _deliver_task(delivery: _Delivery) -> Callable[..., Awaitable[Any]]:
    async def deliver(event: dict[str, Any]) -> None:
        try:
            received = delivery.model.model_validate(event)
        except ValidationError as error:
            problems = validation_messages(error, event, "event")  # without the input: it may hold a secret
            raise GiveUp(f"the stored event does not fit {delivery.event}: {problems}") from None
        await delivery.subscription.listener(received)
        tally("tenantry_events_delivered_total", delivery.event, delivery.plugin)

    return deliver
