from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

import pytest

from host.contracts import Event, EventType, Public, PublicMark, Subscription
from host.events.announce import Announcer
from host.jobs.outcomes import GiveUp
from tenants.context import bind


class TaskCreated(Event):
    task_id: UUID
    at: datetime


class TaskStranger(Event):
    pass


heard: list[tuple[str, Event]] = []


async def when_created(event: TaskCreated) -> None:
    heard.append(("mail", event))


async def keep(event: TaskCreated) -> None:
    heard.append(("audit", event))


WHEN_CREATED = Subscription("projects.TaskCreated", when_created, priority=-10)
EVENTS = {"projects.TaskCreated": EventType(TaskCreated, "a task was made")}
LISTENERS = [
    ("mail", WHEN_CREATED),
    ("mail", Subscription("gone.Something", when_created)),
    ("audit", Subscription("projects.TaskCreated", keep)),
]
EVENT = TaskCreated(task_id=uuid4(), at=datetime(2026, 1, 2, tzinfo=UTC))


async def test_announce_when_two_listen_then_one_job_each_that_delivers_the_event() -> None:
    announcer, tenant = Announcer(EVENTS, LISTENERS), uuid4()
    with bind(tenant):
        drafts = announcer.jobs_for(EVENT)
    assert [(draft.task, draft.tenant_id, draft.plugin, draft.priority) for draft in drafts] == [
        ("mail.on.projects.TaskCreated.when_created", tenant, "mail", -10),
        ("audit.on.projects.TaskCreated.keep", tenant, "audit", 0),
    ]
    heard.clear()
    tasks = announcer.tasks()
    for draft in drafts:
        await tasks[draft.task].run(**draft.arguments)
    assert heard == [("mail", EVENT), ("audit", EVENT)]


def test_announce_when_a_plugin_is_off_then_it_does_not_hear_of_it() -> None:
    announcer = Announcer(EVENTS, LISTENERS, is_on=lambda tenant_id, plugin: plugin != "mail")
    assert [draft.plugin for draft in announcer.jobs_for(EVENT)] == ["audit"]


def test_announce_when_event_is_not_registered_then_says_so() -> None:
    with pytest.raises(LookupError, match=r"TaskStranger.*register_events"):
        Announcer(EVENTS, LISTENERS).jobs_for(TaskStranger())


def test_announce_when_nobody_listens_then_no_jobs() -> None:
    assert Announcer(EVENTS, []).jobs_for(EVENT) == []


def test_listeners_when_two_have_one_name_then_refused() -> None:
    with pytest.raises(ValueError, match=r"mail.*when_created"):
        Announcer(EVENTS, [("mail", WHEN_CREATED), ("mail", WHEN_CREATED)])


async def test_delivery_when_stored_event_does_not_fit_then_gives_up() -> None:
    task = Announcer(EVENTS, LISTENERS).tasks()["audit.on.projects.TaskCreated.keep"]
    with pytest.raises(GiveUp, match="TaskCreated"):
        await task.run(event={"task_id": "no"})


def test_event_when_a_field_is_declared_public_then_its_jobs_show_it() -> None:
    class PageRead(Event):
        page_token: Public
        number: Annotated[int, PublicMark()]
        other: str

    announcer = Announcer({"a.PageRead": EventType(PageRead, "x")}, [("b", Subscription("a.PageRead", keep))])
    assert announcer.tasks()["b.on.a.PageRead.keep"].public == ("page_token", "number")
