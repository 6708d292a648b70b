from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from host.contracts import Task
from host.jobs.catalog import JobDraft, TaskCatalog


async def run() -> None: ...


def test_catalog_when_asked_then_knows_tasks_and_which_are_scheduled() -> None:
    tasks = {"mail.send": Task("send", run, ""), "mail.sweep": Task("sweep", run, "", every=timedelta(hours=1))}
    catalog = TaskCatalog(tasks)
    assert dict(catalog) == tasks
    assert list(catalog.scheduled()) == ["mail.sweep"]
    assert catalog.get("mail.unknown") is None


@pytest.mark.parametrize("name", ["send", ".send", "mail."])
def test_catalog_when_name_has_no_plugin_then_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"<plugin>\.<name>"):
        TaskCatalog({name: Task("send", run, "")})


@pytest.mark.parametrize("numbers", [{"tries": 0}, {"timeout": 0}, {"backoff": -1}, {"every": timedelta(0)}])
def test_catalog_when_numbers_make_no_sense_then_refused_with_the_name(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mail\.send"):
        TaskCatalog({"mail.send": Task("send", run, "", **numbers)})


def test_draft_when_made_then_due_now_with_an_id_of_its_own() -> None:
    one, other = JobDraft("mail.send", None), JobDraft("mail.send", None)
    assert one.plugin == "mail"
    assert one.id != other.id
    assert one.run_at.utcoffset() == timedelta(0)
