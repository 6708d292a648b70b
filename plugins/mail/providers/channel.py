"""Deliver through one mail provider within its circuit breaker, concurrency limit and rate limit."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import timedelta
from time import perf_counter

from host.sdk import Metric, observe

from ..outgoing import Outgoing
from .circuit import Busy, Circuit, Pace, Places
from .contract import Provider, ProviderUnavailable, Receipt, Refused
from .spec import Pacing

CLOSING = 10.0
"""Seconds that deliveries under way get to finish when the provider is closed."""

LONGEST = 240.0
"""Seconds one delivery to the provider may take."""

HANDOVER = Metric(
    "tenantry_mail_handover_duration_seconds",
    "histogram",
    "Seconds that providers take for a message, by outcome: taken, refused or away",
    labels=("provider", "outcome"),
)
_LATEST = 40
_log = logging.getLogger("mail.dispatcher")


class ProviderChannel:
    """One provider with its circuit breaker, concurrency limit and rate limit."""

    def __init__(self, provider: Provider, pacing: Pacing) -> None:
        self.provider = provider
        self.name = provider.name
        self.reason = ""  # why the circuit opened last
        self.circuit = Circuit()
        self._pace = Pace(pacing.interval)
        self.interval = pacing.interval
        self._took: deque[float] = deque(maxlen=_LATEST)  # seconds of the latest hand-overs
        self.places = Places(pacing.concurrency)

    @property
    def seconds(self) -> float:
        """Seconds that the provider takes for a message it accepts; 0 while unknown.

        The lower quartile of the latest: a busy machine makes hand-overs look slower, never faster, and must not make
        workers claim fewer at a time, which would keep it busier still.
        """
        return sorted(self._took)[len(self._took) // 4] if self._took else 0.0

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Hand a message to the provider once a slot is free and the circuit is not open.

        Raises:
            Refused, ProviderUnavailable: as the provider; ProviderUnavailable also when it is not asked.
        """
        async with self.places.one(outgoing.priority):
            if (pause := self.circuit.wait()) is not None:
                raise ProviderUnavailable(f"paused: {self.reason}", wait=pause, tried=False)
            try:
                await self._pace.turn()
                receipt = await self._handed(outgoing)
            except Busy:
                self.circuit.gave_up()
                raise
            except ProviderUnavailable as unavailable:
                self._failed(unavailable.reason, rest=unavailable.wait)
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
        """Close the provider when the deliveries under way have ended, at the latest after CLOSING seconds."""
        try:
            async with asyncio.timeout(CLOSING):
                await self.places.all()
        except TimeoutError:
            _log.warning("mail provider %s is closed while deliveries are still under way", self.name)
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
            took = max(0.001, perf_counter() - began)
            if outcome == "taken":
                self._took.append(took)
            observe(HANDOVER.name, took, provider=self.name, outcome=outcome)

    def _failed(self, reason: str, *, at_once: bool = False, rest: timedelta | None = None) -> None:
        if self.circuit.failed(at_once=at_once, rest=rest):
            self.reason = reason
            level = logging.ERROR if at_once else logging.WARNING
            _log.log(level, "mail provider %s is paused: %s", self.name, reason)

    def _answered(self) -> None:
        if self.circuit.succeeded():
            _log.warning("mail provider %s answers again", self.name)
