"""Other places to sign in with: whose word about whom is taken."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from pydantic import SecretStr

from host.errors import BadRequest, ConfigurationError, Unavailable
from host.identity import providers
from host.identity.providers import Provider, client, person, provider, verified
from host.outbound.errors import OutboundError
from host.settings import OAuthProvider

KEY = RSAKey.generate_key(2048, {"kid": "one"})
KEYS: dict[str, Any] = dict(KeySet([KEY]).as_dict(private=False))
OURS = Provider(
    "ours", "tenantry", "s", ("openid",), "https://id.example/a", "https://id.example/t", "", "https://id.example"
)
GITHUB = OAuthProvider(
    client_id="tenantry",
    client_secret=SecretStr("s"),
    authorize_url="https://github.com/login/oauth/authorize",
    token_url="https://github.com/login/oauth/access_token",
    userinfo_url="https://api.github.com/user",
)


def id_token(key: Any = KEY, algorithm: str = "RS256", **changes: Any) -> str:
    said = {"iss": "https://id.example", "aud": "tenantry", "sub": "7", "nonce": "n", "exp": time.time() + 60}
    claims = {name: value for name, value in (said | changes).items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": "one"}, claims, key, algorithms=[algorithm])


def test_id_token_when_right_then_its_claims() -> None:
    assert verified(id_token(), KEYS, OURS, "n")["sub"] == "7"
    assert verified(id_token(aud=["tenantry", "other"], azp="tenantry"), KEYS, OURS, "n")["sub"] == "7"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "other"},
        {"aud": ["tenantry", "other"]},
        {"exp": 1},
        {"exp": None},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": ""},
    ],
)
def test_id_token_when_a_claim_is_wrong_then_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        verified(id_token(**changes), KEYS, OURS, "n")


def test_id_token_when_signed_by_somebody_else_then_refused() -> None:
    anonymous = RSAKey.generate_key(2048, {"kid": "one"})
    shared = OctKey.import_key("s" * 40)
    for forged in (id_token(anonymous), id_token(shared, "HS256"), "", "a.b.c"):
        with pytest.raises(BadRequest):
            verified(forged, KEYS, OURS, "n")


async def github(application: Any, addresses: list[dict[str, Any]]) -> Any:
    """What is found about a person at GitHub, whose answers are recorded ones."""
    application.settings = application.settings.model_copy(update={"oauth": {"github": GITHUB}})
    answers = {
        "https://api.github.com/user": {"id": 583231, "login": "octocat", "name": None, "email": "public@example.com"},
        "https://api.github.com/user/emails": addresses,
    }
    recorded = httpx2.MockTransport(lambda request: httpx2.Response(200, json=answers[str(request.url)]))
    with application.bound():
        found = await provider("github")
        assert found.scopes == ("read:user", "user:email")
        async with httpx2.AsyncClient(transport=recorded) as session:
            return await person(found, {"access_token": "t"}, "n", session)


async def test_github_when_an_address_is_primary_and_verified_then_that_one_and_the_number_as_subject(
    application: Any,
) -> None:
    who = await github(
        application,
        [
            {"email": "old@example.com", "primary": False, "verified": True},
            {"email": "octo@example.com", "primary": True, "verified": True},
        ],
    )
    assert (who.subject, who.email, who.email_verified, who.name) == ("583231", "octo@example.com", True, "octocat")


async def test_github_when_no_primary_address_is_verified_then_the_public_one_is_not_believed(application: Any) -> None:
    who = await github(application, [{"email": "octo@example.com", "primary": True, "verified": False}])
    assert (who.email, who.email_verified) == ("", False)


async def test_provider_when_not_https_or_away_then_refused(application: Any) -> None:
    for issuer, error in (("http://id.example", ConfigurationError), ("http://127.0.0.1:1", Unavailable)):
        known = OAuthProvider(issuer=issuer, client_id="x")
        application.settings = application.settings.model_copy(update={"oauth": {"x": known}})
        with application.bound(), pytest.raises(error):
            await provider("x")


MINE, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
COMMON = OAuthProvider(issuer="https://login.example/common/v2.0", client_id="tenantry")


async def entra(application: Any, **changes: Any) -> Provider:
    """A provider whose metadata speaks as Microsoft Entra ID's does at `common`."""
    known = COMMON.model_copy(update=changes)
    application.settings = application.settings.model_copy(update={"oauth": {"entra": known}})
    with application.bound():
        return await provider("entra")


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "issuer": "https://login.example/{tenantid}/v2.0",
        "authorization_endpoint": "https://login.example/common/authorize",
        "token_endpoint": "https://login.example/common/token",
        "jwks_uri": "https://login.example/common/keys",
    }

    async def get(session: Any, address: str) -> httpx2.Response:
        return httpx2.Response(200, json=said)

    monkeypatch.setattr(providers, "_get", get)


async def test_issuer_when_common_then_each_token_names_its_own_directory(application: Any, metadata: None) -> None:
    common = await entra(application)
    for directory in (MINE, OTHER):
        token = id_token(iss=f"https://login.example/{directory}/v2.0", tid=directory)
        assert verified(token, KEYS, common, "n")["tid"] == directory
    for wrong in (
        {"iss": f"https://login.example/{MINE}/v2.0", "tid": OTHER},
        {"iss": "https://login.example/{tenantid}/v2.0", "tid": "{tenantid}"},
        {"iss": f"https://login.example/{MINE}/v2.0"},
        {"iss": "https://login.example/common/v2.0", "tid": "common"},
    ):
        with pytest.raises(BadRequest):
            verified(id_token(**wrong), KEYS, common, "n")


async def test_issuer_when_directories_are_named_then_only_theirs(application: Any, metadata: None) -> None:
    ours = await entra(application, tenants=(MINE.upper(),))
    verified(id_token(iss=f"https://login.example/{MINE}/v2.0", tid=MINE), KEYS, ours, "n")
    with pytest.raises(BadRequest):
        verified(id_token(iss=f"https://login.example/{OTHER}/v2.0", tid=OTHER), KEYS, ours, "n")


async def test_issuer_when_anybody_could_claim_any_address_then_not_trusted(application: Any, metadata: None) -> None:
    with pytest.raises(ConfigurationError, match="tenants"):
        await entra(application, trust_email=True)
    assert (await entra(application, trust_email=True, tenants=(MINE,))).trust_email
    with pytest.raises(ConfigurationError, match="calls itself"):
        await entra(application, issuer="https://login.example/common/extra/v2.0")


@pytest.mark.parametrize(
    ("said", "trusted", "counts"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"email_verified": False}, True, False),
        ({"email_verified": True}, False, True),
    ],
)
async def test_address_when_the_provider_does_not_say_whether_it_is_proved_then_the_setting_counts(
    application: Any, metadata: None, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], trusted: bool, counts: bool
) -> None:
    ours = await entra(application, trust_email=trusted, tenants=(MINE,))

    async def keys(session: Any, address: str) -> httpx2.Response:
        return httpx2.Response(200, json=KEYS)

    monkeypatch.setattr(providers, "_get", keys)
    token = id_token(iss=f"https://login.example/{MINE}/v2.0", tid=MINE, email="ada@example.com", **said)
    who = await person(ours, {"id_token": token}, "n", None)
    assert (who.subject, who.email_verified) == (f"{MINE} 7", counts)


async def test_provider_when_its_metadata_leads_further_inside_then_not_followed(application: Any) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        issuer = f"http://127.0.0.1:{port}"
        said = {"issuer": issuer, "authorization_endpoint": f"{issuer}/a", "token_endpoint": f"{issuer}/t"}
        body = json.dumps(said | {"jwks_uri": "https://127.0.0.2:1/keys"}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        known = OAuthProvider(issuer=f"http://127.0.0.1:{port}", client_id="x")
        application.settings = application.settings.model_copy(update={"oauth": {"x": known}})
        with application.bound():
            found = await provider("x")  # a host that the settings name may be anywhere
            with pytest.raises(Unavailable) as refused:
                async with client(
                    found, "https://tenantry.example/cb", {"access_token": "t", "token_type": "bearer"}
                ) as session:
                    await person(found, {"id_token": "x"}, "n", session)
    cause = refused.value.__cause__
    assert isinstance(cause, OutboundError)
    assert (cause.kind, cause.where) == ("address", "127.0.0.2:1")
