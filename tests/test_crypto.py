"""Keys of the host: passes that lead back into a tenant, seals that only their owner opens."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid4

import pytest

from host import services as house_services
from host.crypto import Encryption, SignedTokens, derived
from host.errors import NotFound
from host.execution_context import as_plugin
from host.testing import TwoTenants
from tenants.context import bind, current, current_or_none

SECRET = "s" * 40
TENANT = uuid4()


def test_keys_when_derived_then_one_of_its_own_for_each_purpose() -> None:
    assert derived(SECRET, "access token") != derived(SECRET, "refresh token")


def test_pass_when_read_by_its_maker_then_says_tenant_and_claims() -> None:
    token = SignedTokens(SECRET).sign(TENANT, "letters", "unsubscribe", {"address": "ada@example.com"})
    assert SignedTokens(SECRET).verify(token, "letters", "unsubscribe") == (TENANT, {"address": "ada@example.com"})


@pytest.mark.parametrize(
    ("secret", "plugin", "purpose"),
    [("t" * 40, "letters", "open"), (SECRET, "others", "open"), (SECRET, "letters", "click")],
)
def test_pass_when_read_by_another_or_for_another_purpose_then_nothing(secret: str, plugin: str, purpose: str) -> None:
    token = SignedTokens(SECRET).sign(TENANT, "letters", "open", {})
    assert SignedTokens(secret).verify(token, plugin, purpose) is None


def test_pass_when_any_letter_is_changed_or_cut_then_nothing() -> None:
    token = SignedTokens(SECRET).sign(TENANT, "letters", "open", {"id": "7"})
    changed = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]
    cut = [token[:i] for i in range(len(token))]
    for wrong in (*changed, *cut, token + "A", token + "=", "é", "\x00", "A" * 10_000):
        assert SignedTokens(SECRET).verify(wrong, "letters", "open") is None, wrong


def test_seal_when_opened_by_its_owner_then_the_text_and_by_others_an_error() -> None:
    seals = Encryption(SECRET)
    sealed = seals.encrypt("päss", TENANT, "letters")
    assert "päss" not in sealed
    assert seals.encrypt("päss", TENANT, "letters") != sealed
    assert seals.decrypt(sealed, TENANT, "letters") == "päss"
    for opener, tenant, plugin in [
        (seals, uuid4(), "letters"),
        (seals, TENANT, "others"),
        (Encryption("t" * 40), TENANT, "letters"),
    ]:
        with pytest.raises(ValueError, match="not encrypted by"):
            opener.decrypt(sealed, tenant, plugin)
    for wrong in ("", "é", "AAAA", sealed[:-8], "B" + sealed[1:] if sealed[0] != "B" else "C" + sealed[1:]):
        with pytest.raises(ValueError, match="not encrypted by"):
            seals.decrypt(wrong, TENANT, "letters")


async def _entered(token: str, plugin: str = "projects") -> tuple[UUID, Mapping[str, str]]:
    with as_plugin(plugin):
        async with house_services.open_token(token, "visit") as claims:
            return current(), claims


def _pass(tenant_id: UUID) -> str:
    with bind(tenant_id), as_plugin("projects"):
        return house_services.sign_token("visit", room="7")


async def test_entering_when_the_pass_is_good_then_stands_in_its_tenant_and_holds_nothing_there(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme.tenant_id
    assert acme is not None
    with two_tenants.application.inner.bound():
        assert await _entered(_pass(acme)) == (acme, {"room": "7"})
        assert current_or_none() is None
        with bind(two_tenants.globex.tenant_id):
            assert await _entered(_pass(acme)) == (acme, {"room": "7"})
            assert current() == two_tenants.globex.tenant_id


async def test_entering_when_forged_or_anothers_or_of_no_tenant_then_not_found(two_tenants: TwoTenants) -> None:
    acme = two_tenants.acme.tenant_id
    assert acme is not None
    with two_tenants.application.inner.bound():
        good = _pass(acme)
        for token, plugin in [
            ("x", "projects"),
            (good[:-2], "projects"),
            (good, "audit"),
            (_pass(uuid4()), "projects"),
        ]:
            with pytest.raises(NotFound):
                await _entered(token, plugin)


async def test_entering_when_the_plugin_is_off_or_the_tenant_suspended_then_not_found(two_tenants: TwoTenants) -> None:
    acme = two_tenants.acme.tenant_id
    assert acme is not None
    with two_tenants.application.inner.bound():
        token = _pass(acme)
        await two_tenants.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
        with pytest.raises(NotFound):
            await _entered(token)
        await two_tenants.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": True})
        assert (await _entered(token))[0] == acme
        await two_tenants.application.inner.provisioning.suspend(acme, "unpaid")
        with pytest.raises(NotFound):
            await _entered(token)
