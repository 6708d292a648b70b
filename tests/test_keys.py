"""Keys of the house: passes that lead back into a tenant, seals that only their owner opens."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid4

import pytest

from host import services as house_services
from host.errors import NotFound
from host.keys import Passes, Seals, derived
from host.origin import inside
from host.testing import Neighbours
from tenants.context import bind, current, current_or_none

SECRET = "s" * 40
TENANT = uuid4()


def test_keys_when_derived_then_one_of_its_own_for_each_purpose() -> None:
    assert derived(SECRET, "access token") != derived(SECRET, "refresh token")


def test_pass_when_read_by_its_maker_then_says_tenant_and_claims() -> None:
    token = Passes(SECRET).make(TENANT, "letters", "unsubscribe", {"address": "ada@example.com"})
    assert Passes(SECRET).read(token, "letters", "unsubscribe") == (TENANT, {"address": "ada@example.com"})


@pytest.mark.parametrize(
    ("secret", "plugin", "purpose"),
    [("t" * 40, "letters", "open"), (SECRET, "others", "open"), (SECRET, "letters", "click")],
)
def test_pass_when_read_by_another_or_for_another_purpose_then_nothing(secret: str, plugin: str, purpose: str) -> None:
    token = Passes(SECRET).make(TENANT, "letters", "open", {})
    assert Passes(secret).read(token, plugin, purpose) is None


def test_pass_when_any_letter_is_changed_or_cut_then_nothing() -> None:
    token = Passes(SECRET).make(TENANT, "letters", "open", {"id": "7"})
    changed = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]
    cut = [token[:i] for i in range(len(token))]
    for wrong in (*changed, *cut, token + "A", token + "=", "é", "\x00", "A" * 10_000):
        assert Passes(SECRET).read(wrong, "letters", "open") is None, wrong


def test_seal_when_opened_by_its_owner_then_the_text_and_by_others_an_error() -> None:
    seals = Seals(SECRET)
    sealed = seals.seal("päss", TENANT, "letters")
    assert "päss" not in sealed
    assert seals.seal("päss", TENANT, "letters") != sealed
    assert seals.unseal(sealed, TENANT, "letters") == "päss"
    for opener, tenant, plugin in [
        (seals, uuid4(), "letters"),
        (seals, TENANT, "others"),
        (Seals("t" * 40), TENANT, "letters"),
    ]:
        with pytest.raises(ValueError, match="not sealed by"):
            opener.unseal(sealed, tenant, plugin)
    for wrong in ("", "é", "AAAA", sealed[:-8], "B" + sealed[1:] if sealed[0] != "B" else "C" + sealed[1:]):
        with pytest.raises(ValueError, match="not sealed by"):
            seals.unseal(wrong, TENANT, "letters")


async def _entered(token: str, plugin: str = "projects") -> tuple[UUID, Mapping[str, str]]:
    with inside(plugin):
        async with house_services.entering(token, "visit") as claims:
            return current(), claims


def _pass(tenant_id: UUID) -> str:
    with bind(tenant_id), inside("projects"):
        return house_services.make_pass("visit", room="7")


async def test_entering_when_the_pass_is_good_then_stands_in_its_tenant_and_holds_nothing_there(
    neighbours: Neighbours,
) -> None:
    acme = neighbours.acme.tenant_id
    assert acme is not None
    with neighbours.house.inner.bound():
        assert await _entered(_pass(acme)) == (acme, {"room": "7"})
        assert current_or_none() is None
        with bind(neighbours.globex.tenant_id):
            assert await _entered(_pass(acme)) == (acme, {"room": "7"})
            assert current() == neighbours.globex.tenant_id


async def test_entering_when_forged_or_anothers_or_of_no_tenant_then_not_found(neighbours: Neighbours) -> None:
    acme = neighbours.acme.tenant_id
    assert acme is not None
    with neighbours.house.inner.bound():
        good = _pass(acme)
        for token, plugin in [
            ("x", "projects"),
            (good[:-2], "projects"),
            (good, "audit"),
            (_pass(uuid4()), "projects"),
        ]:
            with pytest.raises(NotFound):
                await _entered(token, plugin)


async def test_entering_when_the_plugin_is_off_or_the_tenant_suspended_then_not_found(neighbours: Neighbours) -> None:
    acme = neighbours.acme.tenant_id
    assert acme is not None
    with neighbours.house.inner.bound():
        token = _pass(acme)
        await neighbours.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
        with pytest.raises(NotFound):
            await _entered(token)
        await neighbours.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": True})
        assert (await _entered(token))[0] == acme
        await neighbours.house.inner.provisioning.suspend(acme, "unpaid")
        with pytest.raises(NotFound):
            await _entered(token)
