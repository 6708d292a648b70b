"""Tokens: what is signed is believed until it runs out, what is not never."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from joserfc import jwt
from joserfc.jwk import OctKey

from host.crypto import derived
from host.errors import TokenExpired, Unauthenticated
from host.identity.tokens import AccessTokens, parse_refresh_token, refresh_token

SECRET = "s" * 40


def make(maker: AccessTokens) -> str:
    return maker.issue(user_id=uuid4(), session_id=uuid4(), token_version=3, tenant_id=uuid4(), is_operator=True)


def test_access_token_when_read_then_says_what_was_put_in() -> None:
    maker, user, session, tenant = AccessTokens(SECRET, timedelta(minutes=15)), uuid4(), uuid4(), uuid4()
    text = maker.issue(user_id=user, session_id=session, token_version=3, tenant_id=tenant, is_operator=True)
    claims = maker.read(text)

    assert (claims.user_id, claims.session_id, claims.token_version) == (user, session, 3)
    assert (claims.tenant_id, claims.is_operator) == (tenant, True)
    assert claims.expires_at - claims.issued_at == maker.lifetime == 900


def test_access_token_when_it_runs_out_then_expired_although_remembered() -> None:
    maker = AccessTokens(SECRET, timedelta(minutes=15))
    text = make(maker)
    maker.read(text)
    with time_machine.travel(time.time() + 901, tick=False):
        for reader in (maker, AccessTokens(SECRET, timedelta(minutes=15))):
            with pytest.raises(TokenExpired):
                reader.read(text)


def test_access_token_when_forged_then_refused() -> None:
    maker = AccessTokens(SECRET, timedelta(minutes=15))
    good = make(maker)
    header, payload, signature = good.split(".")
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0"
    key = OctKey.import_key(derived(SECRET, "access token"))
    other_use = jwt.encode({"alg": "HS256", "typ": "JWT"}, jwt.decode(good, key).claims, key)
    bad = [
        make(AccessTokens("t" * 40, timedelta(minutes=15))),
        f"{unsigned}.{payload}.",
        f"{header}.{payload}.",
        "",
        "é",
    ]
    for text in [*bad, other_use, f"{header}.{payload[:-2]}AA.{signature}", good + "x"]:
        with pytest.raises(Unauthenticated) as refused:
            maker.read(text)
        assert refused.value.code == "UNAUTHENTICATED"


def test_access_tokens_when_many_are_read_then_the_memory_is_bounded() -> None:
    maker = AccessTokens(SECRET, timedelta(minutes=15), remembered=3)
    for text in [make(maker) for _ in range(10)]:
        maker.read(text)
    assert len(maker._known) == 3


def test_refresh_token_when_another_secret_salt_or_generation_then_not_genuine() -> None:
    session = uuid4()
    token = parse_refresh_token(refresh_token(SECRET, session, 7, "salt"))

    assert token is not None
    assert (token.session_id, token.generation) == (session, 7)
    assert token.is_genuine(SECRET, "salt")
    assert not token.is_genuine("t" * 40, "salt")
    assert not token.is_genuine(SECRET, "pepper")
    assert refresh_token(SECRET, session, 7, "salt") != refresh_token(SECRET, session, 8, "salt")
