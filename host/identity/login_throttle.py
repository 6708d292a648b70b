"""Limit the rate of sign-in attempts by account and network, and give answers that take equal time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal

from host.client_address import counted_as
from host.errors import RateLimited
from host.execution_context import origin
from host.identity.tokens import digest
from host.instruments import tally
from host.limits.rates import Bucket
from host.services import record_failure, services

ALONE = 10
"""Factor on the rate (per account and network) for one account from all networks together, and for all accounts
from one network together."""

SECONDS = 0.3
"""Seconds that an answer takes which must not reveal by its time whether an account exists."""


_Kind = Literal["sign_in", "register", "message", "password"]
_ACTIONS: Mapping[_Kind, str] = {
    "sign_in": "auth.session.create",
    "register": "auth.user.create",
    "message": "auth.message.create",
    "password": "auth.user.update",
}
_GUESSES: frozenset[_Kind] = frozenset({"sign_in", "password"})
"""Attempts that may be wrong: only wrong ones stay counted. Others cost something each time: a mail."""

_UNBOUNDED = 2**31


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that was counted; call `succeeded` if the credentials were right."""

    own: Bucket | None = None  # of this account from this network or device
    shared: Sequence[Bucket] = ()

    async def succeeded(self) -> None:
        """Uncount it, with earlier wrong attempts at the same account from the same network or device."""
        if self.own is None:
            return
        rates = services().rates
        if self.shared:
            counted = await rates.peek(self.own)
            await rates.take([replace(each, cost=-counted, limit=_UNBOUNDED) for each in self.shared], [])
        await rates.forget(self.own.key)


async def allow_attempt(kind: _Kind, account: str, *, device: str = "") -> Attempt:
    """Count one attempt on an account from the network of the request; `[rates] sign_in` says how many are allowed.

    The rate holds for one account from one network, `ALONE` times the rate for all accounts from one network. Others
    cannot lock an owner out: after `ALONE` times as many wrong guesses at an account from all networks, each network
    still has one attempt, so whoever knows the password gets in; and a `device` (see `host.identity.devices`) that was
    signed in before has attempts of its own.

    Raises:
        RateLimited: too many; Retry-After says for how long.
    """
    rate = services().settings.rates.sign_in
    if rate.amount is None or rate.seconds is None:
        return Attempt()
    source = f"device {device}" if device else counted_as(origin().address)
    own = Bucket(f"{kind}:both:{digest(f'{source} {account}')}", rate.amount, rate.seconds)
    by_account = Bucket(f"{kind}:account:{digest(account)}", rate.amount * ALONE, rate.seconds)
    by_network = Bucket(f"{kind}:address:{digest(source)}", rate.amount * ALONE, rate.seconds)
    shared: list[Bucket] = [] if device else [by_account, by_network]
    if shared and kind in _GUESSES:
        under_attack = await services().rates.peek(by_account) >= by_account.limit
        own = replace(own, limit=1) if under_attack else own
        shared = [replace(by_account, limit=_UNBOUNDED), by_network]
    result = await services().rates.take([own, *shared], [])
    if not result.allowed:
        tally("tenantry_rate_refusals_total", kind)
        first_refusal = Bucket(f"{kind}:told:{digest(f'{source} {account}')}", 1, rate.seconds)
        if (await services().rates.take([first_refusal], [])).allowed:  # the others would only fill the log
            await record_failure(_ACTIONS[kind], "too many attempts", outcome="denied", resource_type="user")
        raise RateLimited(
            "Too many attempts; wait as long as Retry-After says.",
            headers={"Retry-After": str(max(1, result.reset_seconds))},
        )
    return Attempt(own, shared)


@asynccontextmanager
async def equal_time(seconds: float = SECONDS) -> AsyncIterator[None]:
    """Make the block take `seconds` whatever it does, and whether or not it raises."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        yield
    finally:
        await asyncio.sleep(max(0.0, began + seconds - clock()))
