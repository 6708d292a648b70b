"""Which tenant a request is for, and how it is found."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from tenants.models import Domain, Tenant
from tenants.resolver import Directory, Hint, choose, is_slug

KEY, TOKEN = uuid7(), uuid7()
BASE = "example.com"


@pytest.mark.parametrize(
    ("hint", "kind", "value", "source"),
    [
        (choose(KEY, "acme", "globex.example.com", BASE, TOKEN), "id", KEY, "api_key"),
        (choose(None, " Acme ", "globex.example.com", BASE, TOKEN), "slug", "acme", "header"),
        (choose(None, "../x", "globex.example.com", BASE, TOKEN), "slug", "../x", "header"),
        (choose(None, None, "Globex.Example.com:8000", BASE, TOKEN), "slug", "globex", "domain"),
        (choose(None, None, "www.example.com", BASE, TOKEN, reserved={"www"}), "id", TOKEN, "token"),
        (choose(None, None, "example.com.", BASE, TOKEN), "id", TOKEN, "token"),
        (choose(None, None, "app.acme.test", BASE, TOKEN), "domain", "app.acme.test", "domain"),
        (choose(None, None, "notexample.com", BASE, None), "domain", "notexample.com", "domain"),
        (choose(None, None, "acme.example.com", "", None), "domain", "acme.example.com", "domain"),
        (choose(None, None, "a.b.example.com", BASE, None), "domain", "a.b.example.com", "domain"),
        (choose(None, None, "[::1]:8000", BASE, TOKEN), "id", TOKEN, "token"),
        (choose(None, None, "", BASE, None), "none", None, "nothing"),
    ],
)
def test_hint_follows_the_order_of_the_contract(hint, kind, value, source):
    assert (hint.kind, hint.value, hint.source) == (kind, value, source)


def test_slug_when_not_a_dns_label_is_none():
    assert all(map(is_slug, ["a", "a-b", "0", "x" * 63]))
    assert not any(map(is_slug, ["", "-a", "a-", "A", "a.b", "x" * 64, "ä", "a\n", "a_b"]))


@pytest.fixture
async def acme(database) -> Tenant:
    tenant = await Tenant.create(slug="acme", name="Acme", plan="free")
    await Domain.create(tenant=tenant, hostname="app.acme.test", verified_at=datetime.now(UTC))
    await Domain.create(tenant=tenant, hostname="claimed.test")
    return tenant


async def test_tenant_is_found_by_slug_and_by_verified_domain(acme):
    directory = Directory()
    assert await directory.id_by_slug("acme") == acme.id
    assert await directory.id_by_slug("nobody") is None
    assert await directory.id_by_hostname("app.acme.test") == acme.id
    assert await directory.id_by_hostname("claimed.test") is None
    assert await directory.id_by_hostname("x" * 5000) is None


async def test_hint_when_the_domain_is_nobodys_falls_back_to_the_token(acme):
    directory = Directory()
    assert await directory.find(choose(None, None, "claimed.test", BASE, TOKEN)) == TOKEN
    assert await directory.find(choose(None, None, "app.acme.test", BASE, TOKEN)) == acme.id
    assert await directory.find(choose(None, "nobody", "app.acme.test", BASE, TOKEN)) is None
    assert await directory.find(choose(None, "../x", "app.acme.test", BASE, TOKEN)) is None
    assert await directory.find(Hint("none")) is None


async def test_answer_when_fresh_is_kept_and_later_asked_again(acme, statements):
    clock = [0.0]
    directory = Directory(now=lambda: clock[0])
    for _ in range(3):
        await directory.id_by_slug("acme")
    assert len(statements) == 1
    clock[0] = 61.0
    await directory.id_by_slug("acme")
    directory.forget(acme.id)
    await directory.id_by_slug("acme")
    assert len(statements) == 3
    for _ in range(2):
        await directory.id_by_slug("nobody")
        await directory.id_by_slug("No Slug")
    assert len(statements) == 5


async def test_answers_when_too_many_drop_the_oldest(acme, monkeypatch, statements):
    monkeypatch.setattr("tenants.resolver._KEEP", 2)
    for number in (1, 2):
        await Tenant.create(slug=f"t{number}", name="T", plan="free")
    directory = Directory()
    statements.clear()
    for slug in ("acme", "t1", "acme", "t2", "acme", "t1"):
        await directory.id_by_slug(slug)
    assert len(statements) == 4  # acme was used all the time, t1 had to go
