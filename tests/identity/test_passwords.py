"""Passwords: what is refused, and that checking tells nothing by its time."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from host.errors import ValidationFailed
from host.identity import passwords


@pytest.mark.parametrize(
    "password",
    ["short", "x" * 1025, "password", "PassWord1", "qwertyuiop", "zzzzzzzzzzz", "Ada.Love@example.com", "ada.love"],
)
def test_password_when_weak_then_refused_under_its_field(password: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        passwords.check(password, email="ada.love@example.com", field="new_password")
    assert list(refused.value.details) == ["new_password"]


@pytest.mark.parametrize("password", ["8 chars!", "é" * 7 + "x", "x" * 1023 + "y", "correct horse battery staple"])
def test_password_when_long_enough_then_accepted(password: str) -> None:
    passwords.check(password, email="ada@example.com")


async def test_hash_when_checked_then_only_the_same_password_matches() -> None:
    known = await passwords.hashed("pässword with spaces")

    assert known.startswith("$argon2id$")
    assert await passwords.matches("pässword with spaces", known)
    assert await passwords.matches("pa\u0308ssword with spaces", known)
    assert not await passwords.matches("pässword with space", known)
    assert not passwords.is_outdated(known)
    assert passwords.is_outdated(known.replace("t=3", "t=2"))


async def test_check_when_there_is_no_account_then_as_slow_and_no_match() -> None:
    known = await passwords.hashed("correct horse battery")

    async def seconds(stored: str | None) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            assert not await passwords.matches("something else", stored)
            times.append(time.perf_counter() - began)
        return min(times)

    with_account, without = await seconds(known), await seconds(None)
    assert without > with_account / 2
    assert not await passwords.matches("", passwords.NOBODY)


def test_hash_when_one_was_made_before_a_fork_then_the_child_makes_its_own() -> None:
    asyncio.run(passwords.hashed("one in the parent"))
    child = os.fork()
    if child == 0:  # a server's worker process; no pytest from here on
        signal.alarm(20)
        os._exit(asyncio.run(passwords.matches("one in the child", None)))
    assert os.waitpid(child, 0)[1] == 0
