"""The suppression list, from the endpoint down to the database."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from host.testing import Client, TwoTenants
from plugins.mail.events import AddressSuppressed
from plugins.mail.service import suppressions


async def listed(client: Client, query: str = "") -> list[str]:
    return sorted(row["address"] for row in await client.ask("GET", f"/mail/suppressions?{query}"))


async def add(client: Client, *addresses: str, **fields: Any) -> Any:
    return await client.ask("POST", "/mail/suppressions", json={"addresses": addresses, **fields})


async def test_suppression_when_one_is_posted_then_created_normalised_recorded_and_announced(
    acme: Client, heard: list[Any]
) -> None:
    answer = await acme.post("/api/v1/mail/suppressions", json={"address": "Ada <ADA@Example.COM>", "detail": "asked"})
    row = answer.json()["data"]
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1/mail/suppressions/{row['id']}")
    assert (row["address"], row["reason"], row["detail"]) == ("ada@example.com", "manual", "asked")
    assert row["created_by"] == str(acme.user_id)
    assert await acme.ask("GET", f"/mail/suppressions/{row['id']}") == row
    [entry] = await acme.ask("GET", "/audit/entries?action=mail.suppressions.create")
    assert entry["after"] == {"ada@example.com": "manual"}
    assert [event.address for event in heard if isinstance(event, AddressSuppressed)] == ["ada@example.com"]


async def test_suppression_when_posted_again_in_other_letters_then_the_first_stays_and_nothing_is_announced(
    acme: Client, heard: list[Any]
) -> None:
    first = await acme.ask("POST", "/mail/suppressions", 201, json={"address": "ada@example.com", "detail": "one"})
    again = await acme.ask("POST", "/mail/suppressions", 200, json={"address": "ADA@example.com", "detail": "two"})
    assert again == first
    assert len([event for event in heard if isinstance(event, AddressSuppressed)]) == 1


async def test_suppressions_when_a_thousand_are_posted_then_all_are_there_and_known_ones_counted(acme: Client) -> None:
    many = [f"person{number}@example.com" for number in range(1000)]
    await acme.ask("POST", "/mail/suppressions", 201, json={"address": many[3]})
    assert await add(acme, *many) == {"added": 999, "known": 1}
    assert await add(acme, *many) == {"added": 0, "known": 1000}
    refused = await acme.ask("POST", "/mail/suppressions", 422, json={"addresses": [*many, "more@example.com"]})
    assert "addresses" in refused["details"]


async def test_suppression_when_body_is_wrong_then_422_names_it_and_nothing_is_added(acme: Client) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "body"),
        ({"address": "ada@example.com", "addresses": ["ada@example.com"]}, "body"),
        ({"addresses": []}, "addresses"),
        ({"address": "not an address"}, "address"),
        ({"address": "a@example.com\r\nBcc: b@example.com"}, "address"),
        ({"address": "=?utf-8?q?x?= <a@example.com>"}, "address"),
        ({"address": "a" * 300 + "@example.com"}, "address"),
        ({"addresses": ["ok@example.com", "wrong@"]}, "addresses.1"),
        ({"address": "a@example.com", "reason": "bounce"}, "reason"),
    ]
    for body, field in wrong:
        refused = await acme.ask("POST", "/mail/suppressions", 422, json=body)
        assert field in refused["details"], body
    assert await listed(acme) == []


async def test_suppressions_when_filtered_searched_and_paged_then_only_those(acme: Client) -> None:
    await add(acme, "ada@example.com", "bob@example.com", "carl@other.example", detail="by hand")
    assert await listed(acme, "search=example.com") == ["ada@example.com", "bob@example.com"]
    assert await listed(acme, "address=BOB@example.com") == ["bob@example.com"]
    assert await listed(acme, "reason=manual") == ["ada@example.com", "bob@example.com", "carl@other.example"]
    assert await listed(acme, "reason=bounce,complaint") == []
    page = (await acme.get("/api/v1/mail/suppressions?limit=2&sort=address")).json()
    rest = (
        await acme.get(f"/api/v1/mail/suppressions?limit=2&sort=address&cursor={page['meta']['next_cursor']}")
    ).json()
    found = [row["address"] for row in [*page["data"], *rest["data"]]]
    assert found == ["ada@example.com", "bob@example.com", "carl@other.example"]
    await acme.ask("GET", "/mail/suppressions?reason=whim", 422)


async def test_suppression_when_deleted_by_id_or_address_then_gone_and_recorded(acme: Client) -> None:
    row = await acme.ask("POST", "/mail/suppressions", 201, json={"address": "ada@example.com"})
    await add(acme, "bob@example.com")
    await acme.ask("DELETE", f"/mail/suppressions/{row['id']}", 204)
    await acme.ask("DELETE", f"/mail/suppressions/{row['id']}", 404)
    await acme.ask("DELETE", "/mail/suppressions?address=BOB@example.com", 204)
    await acme.ask("DELETE", "/mail/suppressions?address=bob@example.com", 404)
    await acme.ask("DELETE", "/mail/suppressions?address=nonsense", 404)
    await acme.ask("DELETE", "/mail/suppressions", 422)
    assert await listed(acme) == []
    assert len(await acme.ask("GET", "/audit/entries?action=mail.suppressions.delete&outcome=succeeded")) == 2


async def test_suppressions_when_asked_in_any_spelling_then_those_on_the_list_as_they_were_spelt(
    two_tenants: TwoTenants, within: Any
) -> None:
    await add(two_tenants.acme, "ada@example.com")
    with within(two_tenants.acme):
        assert await suppressions.suppressed(["Ada@Example.com", "ada@example.com", "bob@example.com"]) == {
            "Ada@Example.com",
            "ada@example.com",
        }
        assert await suppressions.suppressed([f"x{number}@example.com" for number in range(3000)]) == set()
        assert await suppressions.suppressed([]) == set()
    with within(two_tenants.globex):
        assert await suppressions.suppressed(["ada@example.com"]) == set()


async def test_suppress_when_two_at_once_add_one_address_then_it_is_there_once(acme: Client, within: Any) -> None:
    with within(acme):
        await asyncio.gather(*(suppressions.suppress("Ada@example.com", "bounce", "550") for _ in range(5)))
        with pytest.raises(ValueError, match="@"):
            await suppressions.suppress("nonsense", "bounce")
    assert await listed(acme) == ["ada@example.com"]


async def test_suppression_when_it_is_another_tenants_then_404_like_one_that_never_was(two_tenants: TwoTenants) -> None:
    row = await two_tenants.acme.ask("POST", "/mail/suppressions", 201, json={"address": "ada@example.com"})
    for method in ("GET", "DELETE"):
        foreign = await two_tenants.globex.ask(method, f"/mail/suppressions/{row['id']}", 404)
        never = await two_tenants.globex.ask(method, f"/mail/suppressions/{uuid4()}", 404)
        assert (foreign["code"], foreign["message"]) == (never["code"], never["message"])
    await two_tenants.globex.ask("DELETE", "/mail/suppressions?address=ada@example.com", 404)
    assert await listed(two_tenants.globex) == []
    assert await listed(two_tenants.acme) == ["ada@example.com"]


async def test_suppressions_when_a_viewer_or_outsider_writes_then_refused(two_tenants: TwoTenants) -> None:
    row = await two_tenants.acme.ask("POST", "/mail/suppressions", 201, json={"address": "ada@example.com"})
    viewer, member = two_tenants.acme_viewer, two_tenants.acme_member
    assert await listed(viewer) == ["ada@example.com"]
    refused = await viewer.ask("POST", "/mail/suppressions", 403, json={"address": "b@example.com"})
    assert refused["details"] == {"permission": "mail.suppressions.create"}
    await viewer.ask("DELETE", f"/mail/suppressions/{row['id']}", 403)
    await member.ask("DELETE", f"/mail/suppressions/{row['id']}", 403)
    await two_tenants.anonymous.ask("GET", "/mail/suppressions", 401)


async def test_suppressions_when_mail_is_switched_off_then_plugin_disabled(acme: Client) -> None:
    await acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": False})
    refused = await acme.ask("GET", "/mail/suppressions", 404)
    assert refused["code"] == "PLUGIN_DISABLED"
