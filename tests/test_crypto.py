"""Signed tokens that bind a tenant, and encrypted text that only its owner decrypts."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid4

import pytest

from host import services as host_services
from host.crypto import Encryption, SignedTokens, derived
from host.errors import NotFound
from host.execution_context import as_plugin
from host.testing import TwoTenants
from tenants.context import bind, current, current_or_none

SECRET = "s" * 40
TENANT = uuid4()


def test_keys_when_derived_then_one_of_its_own_for_each_purpose() -> None:
    assert derived(SECRET, "access token") != derived(SECRET, "refresh token")


def test_signed_token_when_read_by_its_maker_then_says_tenant_and_claims() -> None:
    token = SignedTokens(SECRET).sign(TENANT, "letters", "unsubscribe", {"address": "ada@example.com"})
    assert SignedTokens(SECRET).verify(token, "letters", "unsubscribe") == (TENANT, {"address": "ada@example.com"})


@pytest.mark.parametrize(
    ("secret", "plugin", "purpose"),
    [("t" * 40, "letters", "open"), (SECRET, "others", "open"), (SECRET, "letters", "click")],
)
def test_signed_token_when_read_by_another_or_for_another_purpose_then_nothing(
    secret: str, plugin: str, purpose: str
) -> None:
    token = SignedTokens(SECRET).sign(TENANT, "letters", "open", {})
    assert SignedTokens(secret).verify(token, plugin, purpose) is None


def test_signed_token_when_any_letter_is_changed_or_cut_then_nothing() -> None:
    token = SignedTokens(SECRET).sign(TENANT, "letters", "open", {"id": "7"})
    changed = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]
    cut = [token[:i] for i in range(len(token))]
    for wrong in (*changed, *cut, token + "A", token + "=", "é", "\x00", "A" * 10_000):
        assert SignedTokens(SECRET).verify(wrong, "letters", "open") is None, wrong


def test_encrypted_text_when_decrypted_by_its_owner_then_the_text_and_by_others_an_error() -> None:
    encryption = Encryption(SECRET)
    encrypted = encryption.encrypt("päss", TENANT, "letters")
    assert "päss" not in encrypted
    assert encryption.encrypt("päss", TENANT, "letters") != encrypted
    assert encryption.decrypt(encrypted, TENANT, "letters") == "päss"
    for opener, tenant, plugin in [
        (encryption, uuid4(), "letters"),
        (encryption, TENANT, "others"),
        (Encryption("t" * 40), TENANT, "letters"),
    ]:
        with pytest.raises(ValueError, match="not encrypted by"):
            opener.decrypt(encrypted, tenant, plugin)
    for wrong in ("", "é", "AAAA", encrypted[:-8], "B" + encrypted[1:] if encrypted[0] != "B" else "C" + encrypted[1:]):
        with pytest.raises(ValueError, match="not encrypted by"):
            encryption.decrypt(wrong, TENANT, "letters")


async def _entered(token: str, plugin: str = "projects") -> tuple[UUID, Mapping[str, str]]:
    with as_plugin(plugin):
        async with host_services.open_token(token, "invite") as claims:
            return current(), claims


def _token(tenant_id: UUID) -> str:
    with bind(tenant_id), as_plugin("projects"):
        return host_services.sign_token("invite", id="7")


async def test_open_token_when_the_token_is_good_then_binds_its_tenant_and_holds_nothing_there(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme.tenant_id
    assert acme is not None
    with two_tenants.application.inner.bound():
        assert await _entered(_token(acme)) == (acme, {"id": "7"})
        assert current_or_none() is None
        with bind(two_tenants.globex.tenant_id):
            assert await _entered(_token(acme)) == (acme, {"id": "7"})
            assert current() == two_tenants.globex.tenant_id


async def test_open_token_when_forged_or_anothers_or_of_no_tenant_then_not_found(two_tenants: TwoTenants) -> None:
    acme = two_tenants.acme.tenant_id
    assert acme is not None
    with two_tenants.application.inner.bound():
        good = _token(acme)
        for token, plugin in [
            ("x", "projects"),
            (good[:-2], "projects"),
            (good, "audit"),
            (_token(uuid4()), "projects"),
        ]:
            with pytest.raises(NotFound):
                await _entered(token, plugin)


async def test_open_token_when_the_plugin_is_off_or_the_tenant_suspended_then_not_found(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme.tenant_id
    assert acme is not None
    with two_tenants.application.inner.bound():
        token = _token(acme)
        await two_tenants.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
        with pytest.raises(NotFound):
            await _entered(token)
        await two_tenants.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": True})
        assert (await _entered(token))[0] == acme
        await two_tenants.application.inner.provisioning.suspend(acme, "unpaid")
        with pytest.raises(NotFound):
            await _entered(token)
