"""Hand account mail to the deployment's providers inside a job, and map failures to job retries."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from host.sdk import Postpone, TryAgain, settings

from ..outgoing import Outgoing
from ..providers.contract import ProviderUnavailable, Refused
from ..providers.dispatcher import house_relay
from ..settings import Settings

PRIORITY = -10
"""People wait for these in front of a form: before what an organisation sends, in the job store and at the provider."""

_REST = timedelta(seconds=15)  # before the next try where no provider was even asked


async def hand_over(outgoing: Outgoing, *, within: timedelta = timedelta.max) -> None:
    """Hand it over, before what tenants send. within: how long it is of any use.

    Raises:
        Refused: for good.
        TryAgain: for now, or no provider was reached.
        Postpone: no provider could be asked.
    """
    try:
        await house_relay().deliver(replace(outgoing, priority=PRIORITY))
    except Refused as refused:
        if refused.permanent:
            raise
        backoff = settings(Settings).backoff(away=False, within=within.total_seconds())
        raise TryAgain(str(refused), backoff) from refused
    except ProviderUnavailable as away:
        if not away.tried:
            raise Postpone(away.wait or _REST, away.reason) from away
        backoff = settings(Settings).backoff(away=True, uncertain=away.uncertain, within=within.total_seconds())
        raise TryAgain(away.reason, backoff) from away
