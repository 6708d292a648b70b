"""A name is one line of text, wherever it comes in."""

from __future__ import annotations

from typing import Any

import pytest

from host.errors import ValidationFailed
from host.testing import Client, TwoTenants

SPOILT = ("Acme\nBcc: x@evil.example", "Ac\tme", "\u202eemcA", "Ac\u2028me", "\u200b", "Ac\x7fme")


async def refuse_names(client: Client, method: str, path: str, field: str, **more: Any) -> None:
    """Each spoilt name is 422 under its field, and the message says why."""
    for name in SPOILT:
        refused = await client.ask(method, path, 422, json={**more, field: name})
        assert list(refused["details"]) == [field], (path, name)
        assert "one line" in refused["details"][field], (path, name)


async def test_name_when_not_one_line_then_refused_wherever_it_comes_in(
    two_tenants: TwoTenants, visitor: Client
) -> None:
    acme = two_tenants.acme
    person = {"email": "new@example.com", "password": "correct horse battery"}
    await refuse_names(visitor, "POST", "/auth/register", "name", **person)
    await refuse_names(visitor, "POST", "/auth/register", "tenant_name", name="Ada", **person)
    await refuse_names(acme, "PATCH", "/me", "name")
    await refuse_names(acme, "POST", "/tenants", "name")
    await refuse_names(acme, "PATCH", "/tenant", "name")
    await refuse_names(acme, "POST", "/tenant/roles", "title", name="helper")
    await refuse_names(acme, "POST", "/tenant/api-keys", "name", permissions=["tenant.roles.read"])


async def test_name_when_made_by_a_command_then_seen_to_as_well(two_tenants: TwoTenants) -> None:
    with two_tenants.application.inner.bound():
        for name in SPOILT:
            with pytest.raises(ValidationFailed) as refused:
                await two_tenants.application.inner.provisioning.create(name)
            assert list(refused.value.details) == ["name"]


async def test_name_when_typed_in_pieces_then_kept_composed(two_tenants: TwoTenants) -> None:
    assert (await two_tenants.acme.ask("PATCH", "/me", json={"name": " Zoe\u0308 "}))["name"] == "Zoë"
