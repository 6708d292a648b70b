"""Hand account mail to the deployment's providers inside a job, and map failures to job retries."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from host.sdk import Postpone, TryAgain, settings

from ..outgoing import Outgoing
from ..providers.contract import ProviderUnavailable, Refused
from ..settings import Settings
from .dispatcher import deployment_dispatcher

PRIORITY = -10
"""Priority of account mail, in the job store and at the provider: before tenants' mail, since people wait for it."""

_REST = timedelta(seconds=15)  # before the next try when no provider was asked


async def hand_over(outgoing: Outgoing, *, within: timedelta = timedelta.max) -> None:
    """Hand a message over, before tenants' mail. within: how long the message is of use.

    Raises:
        Refused: it was refused permanently.
        TryAgain: it was refused temporarily, or no provider was reached.
        Postpone: all providers are paused or at their limits.
    """
    try:
        await deployment_dispatcher().deliver(replace(outgoing, priority=PRIORITY))
    except Refused as refused:
        if refused.permanent:
            raise
        backoff = settings(Settings).backoff(away=False, within=within.total_seconds())
        raise TryAgain(str(refused), backoff) from refused
    except ProviderUnavailable as unavailable:
        if not unavailable.tried:
            raise Postpone(unavailable.wait or _REST, unavailable.reason) from unavailable
        backoff = settings(Settings).backoff(away=True, uncertain=unavailable.uncertain, within=within.total_seconds())
        raise TryAgain(unavailable.reason, backoff) from unavailable
