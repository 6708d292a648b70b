"""What other plugins may call."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from host.sdk import NotFound, ValidationFailed, unit_of_work
from host.testing import TwoTenants
from plugins.projects import public
from tenants.context import bind


async def test_public_functions_when_called_in_a_tenant_then_they_find_and_create_there_only(
    two_tenants: TwoTenants,
) -> None:
    project = await two_tenants.acme.ask("POST", "/projects", 201, json={"name": "Apollo"})
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        found = await public.find_project(UUID(project["id"]))
        assert found is not None
        assert found["name"] == "Apollo"
        async with unit_of_work():
            task = await public.create_task(found["id"], "Land", priority=public.Priority.HIGH, tags=["moon"])
        assert await public.find_task(task["id"]) == task
        assert await public.find_project(uuid4()) is None
        with pytest.raises(ValidationFailed):
            await public.create_task(found["id"], "Land", assignee_id=two_tenants.globex.user_id)
    with two_tenants.application.inner.bound(), bind(two_tenants.globex.tenant_id):
        assert await public.find_project(found["id"]) is None
        assert await public.find_task(task["id"]) is None
        with pytest.raises(NotFound):
            await public.create_task(found["id"], "Planted")
    shown = await two_tenants.acme.ask("GET", f"/tasks/{task['id']}")
    assert (shown["priority"], shown["created_by"]) == ("high", None)
