"""The guard: guessing is slow, for one account and for one address."""

from __future__ import annotations

import time
from typing import Any

import pytest

from host.errors import RateLimited
from host.identity.login_throttle import ALONE, allow_attempt, equal_time
from host.settings import RatesSettings


@pytest.fixture
def strict(application: Any) -> Any:
    application.settings = application.settings.model_copy(update={"rates": RatesSettings(sign_in="2/15 minutes")})
    with application.bound():
        yield


async def test_attempts_when_too_many_on_one_account_then_limited_there_only(strict: None) -> None:
    for _ in range(2):
        await allow_attempt("sign_in", "ada@example.com")
    with pytest.raises(RateLimited) as limited:
        await allow_attempt("sign_in", "ada@example.com")
    assert limited.value.headers["Retry-After"] == "7"
    await allow_attempt("sign_in", "bob@example.com")
    await allow_attempt("message", "ada@example.com")


async def test_attempts_when_another_address_then_the_owner_is_not_locked_out(strict: None, client: Any) -> None:
    for _ in range(2):
        await allow_attempt("sign_in", "ada@example.com")
    with client("198.51.100.7"):
        await allow_attempt("sign_in", "ada@example.com")


async def test_attempts_when_from_one_ipv6_network_then_limited_together(strict: None, client: Any) -> None:
    for number in (1, 2):
        with client(f"2001:db8:1:2::{number}"):
            await allow_attempt("sign_in", "ada@example.com")
    with client("2001:db8:1:2:ffff::3"), pytest.raises(RateLimited):
        await allow_attempt("sign_in", "ada@example.com")
    with client("2001:db8:1:3::1"):
        await allow_attempt("sign_in", "ada@example.com")


async def test_attempts_when_others_guess_from_everywhere_then_slow_and_whoever_knows_the_password_gets_in(
    strict: None, client: Any
) -> None:
    for number in range(2 * ALONE):
        with client(f"198.51.100.{number}"):
            await allow_attempt("sign_in", "ada@example.com")
    with client("203.0.113.1"):
        right = await allow_attempt("sign_in", "ada@example.com")
        await right.succeeded()
        await allow_attempt("sign_in", "ada@example.com")
        with pytest.raises(RateLimited):  # one guess from each network, no more
            await allow_attempt("sign_in", "ada@example.com")


async def test_attempts_when_at_everybody_from_one_network_then_limited_but_for_known_devices(
    strict: None, client: Any
) -> None:
    with client("203.0.113.9"):
        for number in range(2 * ALONE):
            await allow_attempt("sign_in", f"somebody{number}@example.com")
        with pytest.raises(RateLimited):
            await allow_attempt("sign_in", "nobody@example.com")
        for _ in range(2):
            await allow_attempt("sign_in", "ada@example.com", device="0a")
        with pytest.raises(RateLimited):
            await allow_attempt("sign_in", "ada@example.com", device="0a")


async def test_attempts_when_right_then_not_counted_and_the_wrong_ones_before_forgotten(strict: None) -> None:
    for _ in range(30):
        await allow_attempt("sign_in", "ada@example.com")
        right = await allow_attempt("sign_in", "ada@example.com")
        await right.succeeded()


async def test_equal_time_when_there_is_nothing_to_do_then_it_still_takes_its_time() -> None:
    began = time.perf_counter()
    async with equal_time(0.05):
        pass
    with pytest.raises(ValueError, match="x"):
        async with equal_time(0.05):
            raise ValueError("x")
    assert time.perf_counter() - began >= 0.1
