"""A channel of the dispatcher: one provider with its circuit, its concurrency and its rate."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from time import perf_counter

from host.sdk import Metric, observe

from ..outgoing import Outgoing
from ..settings import Pacing
from .circuit import Busy, Circuit, Pace, Places
from .contract import Provider, ProviderUnavailable, Receipt, Refused

CLOSING = 10.0
"""Seconds that messages on their way have to get there when their relay is closed."""

LONGEST = 240.0
"""Seconds a hand-over may take once it has begun."""

HANDOVER = Metric(
    "tenantry_mail_handover_duration_seconds",
    "histogram",
    "How long providers take for a message, by what came of it: taken, refused or away",
    labels=("provider", "outcome"),
)
_log = logging.getLogger("mail.relay")


class ProviderChannel:
    """One provider of a relay, and how much is asked of it."""

    def __init__(self, provider: Provider, pacing: Pacing) -> None:
        self.provider = provider
        self.name = provider.name
        self.reason = ""  # why the circuit opened last
        self.circuit = Circuit()
        self._pace = Pace(pacing.interval)
        self.interval = pacing.interval
        self.places = Places(pacing.concurrency)

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Hand a message over, when there is a place and the circuit is closed.

        Raises:
            Refused, Away: as the provider, and Away when it is not asked.
        """
        async with self.places.one(outgoing.priority):
            if (left := self.circuit.wait()) is not None:
                raise ProviderUnavailable(f"left alone for a while: {self.reason}", wait=left, tried=False)
            try:
                await self._pace.turn()
                receipt = await self._handed(outgoing)
            except Busy:
                self.circuit.gave_up()
                raise
            except ProviderUnavailable as away:
                self._failed(away.reason, rest=away.wait)
                raise
            except Refused as refused:
                if refused.kind == "provider" and refused.permanent:
                    self._failed(str(refused), at_once=True)
                else:
                    self._answered()
                raise
            except BaseException:
                self.circuit.gave_up()
                raise
            self._answered()
            return receipt

    async def close(self) -> None:
        """Close the provider when what is on its way has got there, or after CLOSING seconds."""
        try:
            async with asyncio.timeout(CLOSING):
                await self.places.all()
        except TimeoutError:
            _log.warning("%s is closed while it still takes messages", self.name)
        await self.provider.close()

    async def _handed(self, outgoing: Outgoing) -> Receipt:
        began, outcome = perf_counter(), "away"
        try:
            async with asyncio.timeout(LONGEST):
                receipt = await self.provider.deliver(outgoing)
            outcome = "taken"
            return receipt
        except Refused:
            outcome = "refused"
            raise
        except TimeoutError:
            raise ProviderUnavailable(
                f"it did not take the message within {LONGEST:g} seconds", uncertain=True
            ) from None
        finally:
            observe(HANDOVER.name, perf_counter() - began, provider=self.name, outcome=outcome)

    def _failed(self, reason: str, *, at_once: bool = False, rest: timedelta | None = None) -> None:
        if self.circuit.failed(at_once=at_once, rest=rest):
            self.reason = reason
            level = logging.ERROR if at_once else logging.WARNING
            _log.log(level, "mail provider %s is left alone for a while: %s", self.name, reason)

    def _answered(self) -> None:
        if self.circuit.succeeded():
            _log.warning("mail provider %s answers again", self.name)
