"""Unsubscribing: the headers of a message, the page, the one click, and what the tenant sees of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from host.sdk import sign_token
from host.testing import Client, TwoTenants
from plugins.mail.events import AddressSubscribed, AddressUnsubscribed
from plugins.mail.service import subscriptions

ADA, NEWS = "ada@example.com", "newsletter"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def path_of(link: str) -> str:
    return urlsplit(link).path


@pytest.fixture
def link(acme: Client, within: Any) -> str:
    """The path of the page for Ada's newsletter of acme."""
    with within(acme):
        return path_of(subscriptions.unsubscribe_link("ADA@example.com", NEWS))


async def states(client: Client, address: str = ADA) -> dict[str, bool]:
    known = await client.ask("GET", f"/mail/subscriptions/{address}")
    return {row["category"]: row["subscribed"] for row in known["categories"]} | {
        "*": known["everything"]["subscribed"]
    }


async def wanted(client: Client, within: Any, *categories: str) -> set[str]:
    with within(client):
        gone = await subscriptions.unsubscribed([(ADA, category) for category in categories])
    return set(categories) - {category for _, category in gone}


# -- headers ---------------------------------------------------------------------------------------------


async def test_unsubscribe_headers_when_made_then_as_rfc_8058_wants_them(acme: Client, within: Any) -> None:
    with within(acme):
        link = subscriptions.unsubscribe_link(ADA, NEWS)
    headers = dict(subscriptions.unsubscribe_headers(link))
    assert headers["List-Unsubscribe"] == f"<{link}>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "/api/v1/mail/unsubscribe/" in headers["List-Unsubscribe"]
    assert len(headers["List-Unsubscribe"]) < 900  # a line of a message takes 998 characters, and must not be folded


# -- the one click ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [{"data": ONE_CLICK}, {"files": {"List-Unsubscribe": (None, "One-Click")}}])
async def test_one_click_when_posted_in_either_encoding_then_unsubscribed_recorded_and_announced(
    two_tenants: TwoTenants, link: str, heard: list[Any], form: dict[str, Any], within: Any
) -> None:
    answer = await two_tenants.anonymous.post(link, **form)
    assert answer.status_code == 200, answer.text
    assert await wanted(two_tenants.acme, within, NEWS, "offers", "transactional") == {"offers", "transactional"}
    assert await wanted(two_tenants.globex, within, NEWS) == {NEWS}
    [event] = [event for event in heard if isinstance(event, AddressUnsubscribed)]
    assert (event.address, event.category, event.source) == (ADA, NEWS, "one_click")
    [entry] = await two_tenants.acme.ask("GET", "/audit/entries?action=mail.subscriptions.update")
    assert (entry["resource_id"], entry["after"]) == (ADA, {NEWS: False})


async def test_one_click_when_posted_twice_then_said_once(two_tenants: TwoTenants, link: str, heard: list[Any]) -> None:
    for _ in range(2):
        assert (await two_tenants.anonymous.post(link, data=ONE_CLICK)).status_code == 200
    assert len([event for event in heard if isinstance(event, AddressUnsubscribed)]) == 1


FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data"
FORMS = [
    (FORM, b""),
    (FORM, b"List-Unsubscribe=Maybe"),
    (FORM, b"choice=world"),
    (FORM, b"&".join(b"a=1" for _ in range(100))),
    (FORM, b"\xff=\xfe"),
    ("application/json", b'{"List-Unsubscribe": "One-Click"}'),
    (PARTS, b"List-Unsubscribe=One-Click"),
    (f"{PARTS}; boundary=x", b"--x\r\n\r\nOne-Click\r\n--x--"),
    ("", b"List-Unsubscribe=One-Click"),
]


async def test_unsubscribe_when_form_says_nothing_we_know_then_400_and_nothing_changed(
    two_tenants: TwoTenants, link: str
) -> None:
    for content_type, body in FORMS:
        answer = await two_tenants.anonymous.post(link, content=body, headers={"Content-Type": content_type})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST"), body
    assert await states(two_tenants.acme) == {"transactional": True, "*": True}


async def test_unsubscribe_when_form_is_too_long_then_413(two_tenants: TwoTenants, link: str) -> None:
    answer = await two_tenants.anonymous.post(link, data={"choice": "x" * 5000})
    assert answer.status_code == 413


# -- the page --------------------------------------------------------------------------------------------


async def test_page_when_looked_at_then_it_shows_and_changes_nothing(two_tenants: TwoTenants, link: str) -> None:
    answer = await two_tenants.anonymous.get(link, headers={"Accept": "text/html", "Accept-Language": "en-GB"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert ADA in answer.text
    assert NEWS in answer.text
    assert "Acme" in answer.text
    assert '<html lang="en">' in answer.text
    assert await states(two_tenants.acme) == {"transactional": True, "*": True}


async def test_page_when_served_then_nothing_in_it_may_run_and_only_its_own_style_shows(
    two_tenants: TwoTenants, link: str
) -> None:
    answer = await two_tenants.anonymous.get(link)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "form-action 'self'" in policy
    assert "sandbox" not in policy  # it would forbid the form
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "<script" not in answer.text
    assert "style=" not in answer.text


@pytest.mark.parametrize(
    ("header", "spoken"),
    [
        ("", "en"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("it, fr-CA;q=0.5", "fr"),
        ("en;q=0.4, de;q=0.9", "de"),
        ("de;q=0", "en"),
        ("en,de", "en"),
        ("de;q=viel", "en"),
        ("," * 9000, "en"),
    ],
)
async def test_page_when_browser_likes_a_language_then_it_speaks_it(
    two_tenants: TwoTenants, link: str, header: str, spoken: str
) -> None:
    answer = await two_tenants.anonymous.get(link, headers={"Accept-Language": header})
    assert f'<html lang="{spoken}">' in answer.text
    words = {"en": "Unsubscribe from", "de": "abbestellen", "fr": "Se désabonner de"}
    assert {name for name, text in words.items() if text in answer.text} == {spoken}


async def test_page_when_browser_likes_no_language_of_ours_then_the_members_own_then_the_deployments(
    two_tenants: TwoTenants, within: Any
) -> None:
    anonymous, acme = two_tenants.anonymous, two_tenants.acme
    await acme.ask("PATCH", "/me", json={"locale": "fr-CA"})
    email = (await acme.ask("GET", "/me"))["email"]
    with within(acme):
        own, strange = (path_of(subscriptions.unsubscribe_link(each, NEWS)) for each in (email, ADA))
    assert '<html lang="fr">' in (await anonymous.get(own, headers={"Accept-Language": "it"})).text
    assert '<html lang="de">' in (await anonymous.get(own, headers={"Accept-Language": "de"})).text
    assert '<html lang="en">' in (await anonymous.get(strange, headers={"Accept-Language": "it"})).text


async def test_page_when_people_choose_then_category_everything_and_back_again(
    two_tenants: TwoTenants, link: str, heard: list[Any]
) -> None:
    anonymous, acme = two_tenants.anonymous, two_tenants.acme
    ended = await anonymous.post(link, data={"choice": "category"})
    assert "Your choice is saved." in ended.text
    assert 'value="again"' in ended.text
    assert await states(acme) == {NEWS: False, "transactional": True, "*": True}
    await anonymous.post(link, data={"choice": "again"})
    assert await states(acme) == {NEWS: True, "transactional": True, "*": True}
    await anonymous.post(link, data={"choice": "everything"})
    assert await states(acme) == {NEWS: False, "transactional": True, "*": False}
    await anonymous.post(link, data={"choice": "again"})
    assert await states(acme) == {NEWS: True, "transactional": True, "*": False}
    told = [
        (type(event), event.category) for event in heard if isinstance(event, AddressUnsubscribed | AddressSubscribed)
    ]
    assert told == [
        (AddressUnsubscribed, NEWS),
        (AddressSubscribed, NEWS),
        (AddressUnsubscribed, NEWS),
        (AddressUnsubscribed, "*"),
        (AddressSubscribed, NEWS),
    ]


async def test_everything_when_ended_then_categories_never_heard_of_are_too_but_not_transactional_ones(
    two_tenants: TwoTenants, link: str, within: Any
) -> None:
    await two_tenants.anonymous.post(link, data={"choice": "everything"})
    assert await wanted(two_tenants.acme, within, NEWS, "tomorrow", "transactional") == {"transactional"}


async def test_page_when_names_hold_markup_then_it_is_shown_as_text(two_tenants: TwoTenants, within: Any) -> None:
    with within(two_tenants.acme):
        token = sign_token(subscriptions.PASS, address=ADA, category="<script>alert(1)</script>")
    answer = await two_tenants.anonymous.get(f"/api/v1/mail/unsubscribe/{token}")
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text


# -- tokens ----------------------------------------------------------------------------------------------


async def test_unsubscribe_when_token_is_cut_changed_or_for_something_else_then_404_and_nothing_changed(
    two_tenants: TwoTenants, link: str, within: Any
) -> None:
    with within(two_tenants.acme):
        other_purpose = sign_token("click", address=ADA, category=NEWS)
    token = link.rpartition("/")[2]
    forged = [token[:-1], token[:20], token + "A", token.swapcase(), "x", "%00", "é", other_purpose, "A" * 4000]
    for each in forged:
        path = f"/api/v1/mail/unsubscribe/{each}"
        shown = await two_tenants.anonymous.get(path)
        posted = await two_tenants.anonymous.post(path, data=ONE_CLICK)
        assert (shown.status_code, posted.status_code) == (404, 404), each
        assert posted.json()["error"]["code"] == "NOT_FOUND"
    assert await states(two_tenants.acme) == {"transactional": True, "*": True}


async def test_unsubscribe_when_token_is_another_tenants_then_only_that_tenant_is_told(
    two_tenants: TwoTenants, link: str
) -> None:
    answer = await two_tenants.anonymous.post(link, data=ONE_CLICK, headers={"X-Tenant": "globex"})
    assert answer.status_code == 200
    assert (await states(two_tenants.acme))[NEWS] is False
    assert await states(two_tenants.globex) == {"transactional": True, "*": True}


# -- for the tenant --------------------------------------------------------------------------------------


async def test_preferences_when_nothing_was_said_then_all_is_wanted_since_ever(acme: Client) -> None:
    known = await acme.ask("GET", "/mail/subscriptions/ADA@Example.com")
    transactional = {"category": "transactional", "subscribed": True, "since": None, "source": None, "exempt": True}
    assert known == {
        "address": ADA,
        "everything": {"subscribed": True, "since": None, "source": None},
        "categories": [transactional],
    }


async def test_preferences_when_tenant_sets_them_then_kept_with_time_and_source(acme: Client, within: Any) -> None:
    body = {"everything": False, "categories": {NEWS: True, "offers": False}}
    known = await acme.ask("PUT", f"/mail/subscriptions/{ADA}", json=body)
    assert known == await acme.ask("GET", f"/mail/subscriptions/{ADA}")
    assert [row["category"] for row in known["categories"]] == [NEWS, "transactional"]
    assert known["categories"][0]["source"] == "settings"
    assert known["everything"]["since"] is not None
    assert await wanted(acme, within, NEWS, "offers", "else") == {NEWS}
    again = await acme.ask("PUT", f"/mail/subscriptions/{ADA}", json=body | {"everything": None})
    assert again == known


async def test_preferences_when_category_becomes_transactional_then_exempt_whatever_was_said(
    acme: Client, link: str, two_tenants: TwoTenants, within: Any
) -> None:
    await two_tenants.anonymous.post(link, data=ONE_CLICK)
    await acme.ask("PUT", "/tenant/plugins/mail/settings", json={"transactional_categories": [NEWS]})
    assert await wanted(acme, within, NEWS) == {NEWS}
    refused = await two_tenants.anonymous.post(link, data={"choice": "category"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    page = await two_tenants.anonymous.get(link)
    assert 'value="category"' not in page.text
    assert 'value="everything"' in page.text


async def test_preferences_when_wrong_then_422_and_nothing_changed(acme: Client) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("nonsense", {"categories": {NEWS: False}}),
        (ADA, {"categories": {"transactional": False}}),
        (ADA, {"categories": {"Not A Slug": False}}),
        (ADA, {"categories": {NEWS: "no"}}),
        (ADA, {"categories": {f"c{number}": True for number in range(101)}}),
        (ADA, {"newsletter": False}),
    ]
    for address, body in wrong:
        await acme.ask("PUT", f"/mail/subscriptions/{address}", 422, json=body)
    assert await states(acme) == {"transactional": True, "*": True}


async def test_preferences_when_a_viewer_member_or_outsider_sets_them_then_refused(two_tenants: TwoTenants) -> None:
    path = f"/mail/subscriptions/{ADA}"
    await two_tenants.acme_viewer.ask("GET", path)
    for client in (two_tenants.acme_viewer, two_tenants.acme_member):
        refused = await client.ask("PUT", path, 403, json={"everything": False})
        assert refused["details"] == {"permission": "mail.subscriptions.update"}
    await two_tenants.anonymous.ask("GET", path, 401)
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": False})
    assert (await two_tenants.acme.ask("GET", path, 404))["code"] == "PLUGIN_DISABLED"
