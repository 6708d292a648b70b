"""Try mail providers in order of failover: those of the deployment, or the one a tenant has set."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from host.sdk import Channel, app_singleton, decrypt, settings

from ..models.senders import ProviderAccount
from ..outgoing import Outgoing
from ..providers.catalogue import PROVIDERS
from ..providers.channel import ProviderChannel
from ..providers.circuit import Busy
from ..providers.contract import ProviderUnavailable, Receipt, Refused
from ..providers.spec import Pacing, Setup
from ..settings import Settings

OPEN_ACCOUNTS = 200
"""Dispatchers of tenants' own providers that a process keeps open; the least recently used is closed first."""


class Dispatcher:
    """Hands messages to the first provider that takes them. without: why it has no provider, as a sentence."""

    def __init__(self, channels: Sequence[ProviderChannel], *, without: str = "") -> None:
        self.channels = tuple(channels)
        self._without = without

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Hand a message over. A provider that is unavailable, or whose own settings are wrong, is skipped; a refusal
        of an address or of the content is final, since the next provider would have to refuse it too.

        Raises:
            Refused: of kind `address` or `content`; nothing was taken.
            ProviderUnavailable: none could take it; `tried`: one was asked; `wait`: the shortest that one asks for.
        """
        reasons: list[str] = []
        waits: list[timedelta] = []
        tried, uncertain = not self.channels, False
        for channel in self.channels:
            try:
                return await channel.deliver(outgoing)
            except Busy:
                raise
            except ProviderUnavailable as unavailable:
                reasons.append(f"{channel.name}: {unavailable.reason}")
                tried, uncertain = tried or unavailable.tried, uncertain or unavailable.uncertain
                waits += [unavailable.wait] if unavailable.wait is not None else []
            except Refused as refused:
                if refused.kind != "provider":
                    raise
                reasons.append(f"{channel.name}: {refused}")
                tried = True
        shortest = min(waits, default=None)
        raise ProviderUnavailable("; ".join(reasons) or self._without, wait=shortest, tried=tried, uncertain=uncertain)

    def channel(self, name: str = "") -> Channel:
        """How much it takes now, for the job store: as much as the first provider that is not paused."""
        available = next((channel for channel in self.channels if not channel.circuit.left), None)
        if available is None:
            return Channel(name, rest=min((channel.circuit.left for channel in self.channels), default=timedelta(0)))
        concurrency = 1 if available.circuit.is_open else available.places.count
        return Channel(name, concurrency, available.interval, seconds=available.seconds)

    async def check(self) -> str | None:
        """None while a provider works, else a sentence. Calls no provider: it reports what deliveries found."""
        if not self.channels or any(not channel.circuit.is_open for channel in self.channels):
            return None
        return "; ".join(f"{channel.name} is paused: {channel.reason}" for channel in self.channels)

    async def ask(self) -> str | None:
        """Ask every provider: None when each could take messages now, else what is wrong with those that could not."""
        problems = [(channel.name, await channel.provider.check()) for channel in self.channels]
        return "; ".join(f"{name}: {problem}" for name, problem in problems if problem) or (self._without or None)

    async def close(self) -> None:
        """Close every provider."""
        for channel in self.channels:
            await channel.close()


class Dispatchers:
    """The dispatchers of one application; `application` is the deployment's."""

    def __init__(self) -> None:
        chosen = settings(Settings)
        self.application = Dispatcher([_channel(name, getattr(chosen, name)) for name in chosen.providers])
        self._tenants: OrderedDict[UUID, tuple[tuple[UUID, int], Dispatcher]] = OrderedDict()

    async def own(self, account: ProviderAccount) -> Dispatcher:
        """The dispatcher of a tenant's own provider, kept until its settings change."""
        state, cached = (account.id, account.version), self._tenants.get(account.tenant_id)
        if cached is not None and cached[0] == state:
            self._tenants.move_to_end(account.tenant_id)
            return cached[1]
        dispatcher = own_dispatcher(account)
        self._tenants[account.tenant_id] = (state, dispatcher)
        self._tenants.move_to_end(account.tenant_id)
        replaced = [cached] if cached else []
        if len(self._tenants) > OPEN_ACCOUNTS:
            replaced.append(self._tenants.popitem(last=False)[1])
        for _, outdated in replaced:
            await outdated.close()
        return dispatcher

    async def close(self) -> None:
        """Close all dispatchers."""
        for dispatcher in (self.application, *(dispatcher for _, dispatcher in self._tenants.values())):
            await dispatcher.close()


def deployment_dispatcher() -> Dispatcher:
    """The deployment's dispatcher, which account mail leaves through."""
    return app_singleton(Dispatchers).application


async def tenant_dispatcher() -> Dispatcher:
    """The dispatcher of the bound tenant's mail: that of its own provider, else the deployment's."""
    account = await ProviderAccount.first()
    return deployment_dispatcher() if account is None else await app_singleton(Dispatchers).own(account)


async def tenant_channel() -> Channel:
    """How much `tenant_dispatcher` takes now; a tenant's own provider is a channel of its own in the job store."""
    account = await ProviderAccount.first()
    if account is None:
        return deployment_dispatcher().channel()
    return (await app_singleton(Dispatchers).own(account)).channel(account.tenant_id.hex)


async def close_dispatchers() -> None:
    """Close all provider connections of this application; for `on_stop`."""
    await app_singleton(Dispatchers).close()


def own_dispatcher(account: ProviderAccount) -> Dispatcher:
    """A dispatcher of the bound tenant's own provider alone."""
    own = own_settings(account)
    if own is None:
        return Dispatcher([], without="the secrets of your own provider cannot be read any more: set it again")
    return Dispatcher([_channel(account.provider, own, own=True)])


def own_settings(account: ProviderAccount) -> Pacing | None:
    """The settings of the bound tenant's own provider, secrets included; None where those cannot be read any more."""
    try:
        secrets = json.loads(decrypt(account.secrets))
    except ValueError:  # the deployment's secret has changed: the tenant has to set its provider again
        return None
    deployment = getattr(settings(Settings), account.provider)
    own: Pacing = PROVIDERS[account.provider].own_settings(deployment, {**account.settings, **secrets})
    return own


def _channel(name: str, section: Pacing, *, own: bool = False) -> ProviderChannel:
    chosen = settings(Settings)
    domain = chosen.sender.email.rpartition("@")[2]
    setup = Setup(domain, own=own, public_only=own and not chosen.allow_private_hosts)
    return ProviderChannel(PROVIDERS[name].create(section, setup), section)
