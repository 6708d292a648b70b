"""The guard: guessing is slow, for one account and for one address."""

from __future__ import annotations

import time
from typing import Any

import pytest

from host.errors import RateLimited
from host.identity.guard import ALONE, allow_attempt, equal_time
from host.services import offering
from host.settings import RatesSettings


@pytest.fixture
def strict(house: Any) -> Any:
    house.settings = house.settings.model_copy(update={"rates": RatesSettings(sign_in="2/15 minutes")})
    with offering(house.offered()):
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


async def test_attempts_when_from_everywhere_or_at_everybody_then_limited(strict: None, client: Any) -> None:
    for number in range(2 * ALONE):
        with client(f"198.51.100.{number}"):
            await allow_attempt("sign_in", "ada@example.com")
    with client("203.0.113.1"), pytest.raises(RateLimited):
        await allow_attempt("sign_in", "ada@example.com")
    with client("203.0.113.9"):
        for number in range(2 * ALONE):
            await allow_attempt("sign_in", f"somebody{number}@example.com")
        with pytest.raises(RateLimited):
            await allow_attempt("sign_in", "nobody@example.com")


async def test_equal_time_when_there_is_nothing_to_do_then_it_still_takes_its_time() -> None:
    began = time.perf_counter()
    async with equal_time(0.05):
        pass
    with pytest.raises(ValueError, match="x"):
        async with equal_time(0.05):
            raise ValueError("x")
    assert time.perf_counter() - began >= 0.1
