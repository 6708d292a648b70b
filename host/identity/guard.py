"""What makes guessing slow and telling: the rate of sign-in attempts, and answers that take equal time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

from host.errors import RateLimited
from host.identity.tokens import digest
from host.instruments import tally
from host.limits.rates import Bucket
from host.origin import origin
from host.services import record_failure, services
from tenants.plans import parse_limit

ALONE = 10
"""How many times the rate of one account from one address either may use alone: one account guessed at from many
addresses, many accounts from one. More than once, so that a stranger's guesses do not lock the owner out and an
office behind one address can sign in."""

SECONDS = 0.3
"""How long an answer takes that must not tell by its time whether an account exists."""


_Kind = Literal["sign_in", "register", "message", "password"]
_ACTIONS: Mapping[_Kind, str] = {
    "sign_in": "auth.session.create",
    "register": "auth.user.create",
    "message": "auth.message.create",
    "password": "auth.user.update",
}


async def allow_attempt(kind: _Kind, account: str) -> None:
    """Count one attempt on an account from the address of the request; `[rates] sign_in` says how many are allowed.

    Raises:
        RateLimited: too many; Retry-After says for how long.
    """
    rate = parse_limit(services().settings.rates.sign_in)
    if rate.amount is None or rate.seconds is None:
        return
    address = origin().address
    buckets = [
        Bucket(f"{kind}:both:{digest(f'{address} {account}')}", rate.amount, rate.seconds),
        Bucket(f"{kind}:account:{digest(account)}", rate.amount * ALONE, rate.seconds),
        Bucket(f"{kind}:address:{digest(address)}", rate.amount * ALONE, rate.seconds),
    ]
    taken = await services().rates.take(buckets, [])
    if not taken.allowed:
        tally("tenantry_rate_refusals_total", kind)
        once = Bucket(f"{kind}:told:{digest(f'{address} {account}')}", 1, rate.seconds)
        if (await services().rates.take([once], [])).allowed:  # the others would only fill the log
            await record_failure(_ACTIONS[kind], "too many attempts", outcome="denied", resource_type="user")
        raise RateLimited(
            "Too many attempts; wait as long as Retry-After says.",
            headers={"Retry-After": str(max(1, taken.reset_seconds))},
        )


@asynccontextmanager
async def equal_time(seconds: float = SECONDS) -> AsyncIterator[None]:
    """Make the block take `seconds` whatever it does, and whether or not it raises."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        yield
    finally:
        await asyncio.sleep(max(0.0, began + seconds - clock()))
