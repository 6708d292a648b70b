"""`/me` over HTTP: profile, settings, where I belong, where I am signed in."""

from __future__ import annotations

from typing import Any

from host.contracts import Event
from host.testing import Client, TestApplication, TwoTenants

PASSWORD = "a long enough passphrase"
ADA = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}


async def signed_in(client: Client) -> dict[str, Any]:
    data = await client.ask("POST", "/auth/register", 201, json={**ADA, "tenant_name": "Acme"})
    client.headers["Authorization"] = f"Bearer {data['access_token']}"
    return dict(data)


async def test_profile_when_changed_then_its_etag_guards_it(visitor: Client) -> None:
    await signed_in(visitor)
    read = await visitor.get("/api/v1/me")
    etag = {"If-Match": read.headers["etag"]}

    changed = await visitor.ask("PATCH", "/me", json={"name": "Ada L."}, headers=etag)

    assert (changed["name"], changed["version"]) == ("Ada L.", read.json()["data"]["version"] + 1)
    await visitor.ask("PATCH", "/me", 412, json={"name": "Other"}, headers=etag)
    for body in ({"name": None}, {"name": ""}, {"is_operator": True}, {"email": "new@example.com"}):
        await visitor.ask("PATCH", "/me", 422, json=body)
    assert (await visitor.ask("GET", "/me"))["name"] == "Ada L."
    assert "password_hash" not in read.text


async def test_settings_when_put_then_read_back_whole(visitor: Client) -> None:
    await signed_in(visitor)
    assert await visitor.ask("GET", "/me/settings") == {}
    values = {"theme": "dark", "columns": [1, {"wide": True}], "none": None}
    assert await visitor.ask("PUT", "/me/settings", json=values) == values
    assert await visitor.ask("GET", "/me/settings") == values
    await visitor.ask("PUT", "/me/settings", 422, json=[1])
    await visitor.ask("PUT", "/me/settings", 413, json={"big": "x" * 70_000})
    assert await visitor.ask("PUT", "/me/settings", json={}) == {}


async def test_tenants_when_listed_then_mine_with_my_role(visitor: Client) -> None:
    await signed_in(visitor)
    [tenant] = await visitor.ask("GET", "/me/tenants")
    assert (tenant["slug"], tenant["role"]) == ("acme", "owner")


async def test_sessions_when_one_is_ended_then_its_token_stops_and_the_others_go_on(
    application: TestApplication, visitor: Client
) -> None:
    await signed_in(visitor)
    async with application.client(**{"User-Agent": "Phone"}) as phone:
        data = await phone.ask("POST", "/auth/login", json={"email": ADA["email"], "password": PASSWORD})
        phone.headers["Authorization"] = f"Bearer {data['access_token']}"
        listed = await visitor.ask("GET", "/me/sessions")
        [other] = [each for each in listed if not each["current"]]
        assert (len(listed), other["user_agent"], other["address"]) == (2, "Phone", "127.0.0.1")

        assert await visitor.ask("DELETE", f"/me/sessions/{other['id']}", 204) is None

        await phone.ask("GET", "/me", 401)
        await phone.ask("POST", "/auth/refresh", 401)
        await visitor.ask("DELETE", f"/me/sessions/{other['id']}", 404)
    [mine] = await visitor.ask("GET", "/me/sessions")
    assert mine["current"]


async def test_sessions_when_all_others_end_then_this_one_goes_on(
    application: TestApplication, visitor: Client
) -> None:
    await signed_in(visitor)
    async with application.client() as phone:
        data = await phone.ask("POST", "/auth/login", json={"email": ADA["email"], "password": PASSWORD})
        await visitor.ask("DELETE", "/me/sessions", 204)
        await phone.ask("GET", "/me", 401, headers={"Authorization": f"Bearer {data['access_token']}"})
    assert len(await visitor.ask("GET", "/me/sessions")) == 1


async def test_session_when_another_persons_then_404_as_if_it_never_was(two_tenants: TwoTenants) -> None:
    [theirs] = await two_tenants.globex.ask("GET", "/me/sessions")
    await two_tenants.acme.ask("DELETE", f"/me/sessions/{theirs['id']}", 404)
    await two_tenants.globex.ask("GET", "/me")


async def test_me_when_an_outsider_asks_then_401(two_tenants: TwoTenants) -> None:
    for path in ("/me", "/me/settings", "/me/tenants", "/me/sessions"):
        await two_tenants.anonymous.ask("GET", path, 401)


async def test_locale_when_registered_then_the_browsers_and_changed_in_its_usual_spelling(
    visitor: Client, heard: list[Event]
) -> None:
    person = {"email": "ada@example.com", "password": "a long enough passphrase", "name": "Ada"}
    languages = {"Accept-Language": "*;q=0.1, xx-nonsense-zz, en;q=0.5, de-at;q=0.9"}
    made = await visitor.ask("POST", "/auth/register", 201, json=person, headers=languages)
    headers = {"Authorization": f"Bearer {made['access_token']}"}
    assert made["user"]["locale"] == "de-AT"
    assert {getattr(each, "locale", "de-AT") for each in heard if hasattr(each, "email")} == {"de-AT"}
    for said, kept in (("ZH-hant", "zh-Hant"), ("pt_br", "pt-BR"), ("", "")):
        assert (await visitor.ask("PATCH", "/me", headers=headers, json={"locale": said}))["locale"] == kept
    for wrong in (None, "english", "de\nX", "x" * 36, "../etc", "und", 7):
        refused = await visitor.ask("PATCH", "/me", 422, headers=headers, json={"locale": wrong})
        assert list(refused["details"]) == ["locale"]
