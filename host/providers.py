"""Declare the providers a plugin works through (mail, storage, AI, payment), each as one record in a module of its own.

The plugin's record adds what such a provider does, and one list names them all; settings, tenants' own accounts and
webhooks follow from it, so that a new provider is its module and one line:

    @dataclass(frozen=True, kw_only=True)
    class MailProvider(ProviderSpec[SettingsT]):
        create: Callable[[SettingsT], Mailer]

    MAILGUN = MailProvider(name="mailgun", settings=MailgunSettings, required=("api_key",), create=Mailgun)
    PROVIDERS = Providers(MAILGUN, SMTP)

    @PROVIDERS.sections
    class Settings(BaseModel): ...  # has `mailgun` and `smtp` now, each with that provider's own settings
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, SecretStr, create_model

SettingsT = TypeVar("SettingsT", bound=BaseModel)
"""The type of a provider's settings, for a plugin's own record.

Example:
    @dataclass(frozen=True, kw_only=True)
    class MailProvider(ProviderSpec[SettingsT]):
        create: Callable[[SettingsT], Mailer]
"""

KeyT = TypeVar("KeyT")
EventT = TypeVar("EventT")
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One request as a provider sent it: the raw body, because signatures are over bytes, and headers by lower case.

    Example:
        async def read(call: WebhookCall, key: str, age: timedelta) -> Sequence[Delivered]:
            if not hmac.compare_digest(call.headers["x-signature"], signature_of(call.body, key)):
                raise BadRequest("The signature is wrong.")
            return [Delivered(**event) for event in orjson.loads(call.body)]
    """

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Webhook(Generic[SettingsT, KeyT, EventT]):
    """How a provider's webhooks are read: `Webhook(lambda settings: settings.webhook_key, read)`.

    key: what verifies its calls, from its settings; empty: its webhooks are refused. read: verifies a call by that key,
    no older than the time given, and returns its events; raises BadRequest where the signature is wrong.

    Example:
        Webhook(lambda settings: settings.webhook_key, read)
    """

    key: Callable[[SettingsT], KeyT]
    read: Callable[[WebhookCall, KeyT, timedelta], Awaitable[Sequence[EventT]]]


@dataclass(frozen=True, kw_only=True)
class ProviderSpec(Generic[SettingsT]):
    """One provider; a plugin's own record adds what its providers do, such as `create`.

    name: in settings, URLs and tables, such as "mailgun". settings: its section of the plugin's settings; every field
    has a default. required: settings without which it cannot be used. account: what a tenant gives to use an account of
    its own, a part of `settings` by the same names; None: tenants cannot.

    Example:
        MAILGUN = ProviderSpec(name="mailgun", settings=MailgunSettings, required=("api_key",))
    """

    name: str
    settings: type[SettingsT]
    required: tuple[str, ...] = ()
    account: type[BaseModel] | None = None

    def own_settings(self, deployment: BaseModel, account: Mapping[str, Any]) -> SettingsT:
        """The settings of a tenant's own account; what `account` has no field for stays the deployment's."""
        fields = self.account.model_fields if self.account is not None else {}
        shared = {name: getattr(deployment, name) for name in self.settings.model_fields if name not in fields}
        return self.settings.model_validate({**shared, **account})


SpecT = TypeVar("SpecT", bound=ProviderSpec[Any])


class Providers(Generic[SpecT]):
    """The providers of a plugin, in order: `Providers(SMTP, MAILGUN)`.

    Raises:
        ValueError: two of them have one name.

    Example:
        PROVIDERS = Providers(SMTP, MAILGUN)
    """

    def __init__(self, *specs: SpecT) -> None:
        self._specs = {spec.name: spec for spec in specs}
        if len(self._specs) < len(specs):
            raise ValueError(f"two providers have one name: {', '.join(spec.name for spec in specs)}")

    def __iter__(self) -> Iterator[SpecT]:
        return iter(self._specs.values())

    def __getitem__(self, name: str) -> SpecT:
        """The provider of that name; KeyError where there is none."""
        return self._specs[name]

    def get(self, name: str) -> SpecT | None:
        """The provider of that name, if there is one."""
        return self._specs.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all providers."""
        return tuple(self._specs)

    def sections(self, model: type[ModelT]) -> type[ModelT]:
        """Decorate the plugin's settings model: it gets a section for each provider."""
        return _with_fields(model, {spec.name: (spec.settings, spec.settings()) for spec in self})

    def accounts(self, model: type[ModelT]) -> type[ModelT]:
        """Decorate a model of what tenants may set: it gets an account for each provider that they may use."""
        accounts = {spec.name: spec.account for spec in self if spec.account is not None}
        return _with_fields(model, {name: (account | None, None) for name, account in accounts.items()})

    def missing(self, settings: BaseModel, chosen: Iterable[str]) -> list[str]:
        """What the chosen providers still need, such as "mailgun needs api_key"."""
        pairs = [(name, key) for name in chosen for key in self[name].required]
        return [f"{name} needs {key}" for name, key in pairs if not plain(getattr(getattr(settings, name), key))]


def plain(value: object) -> object:
    """A setting's value, a secret in plain."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def without_secrets(account: BaseModel) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of an account that may be shown, and its secrets in plain, to be encrypted.

    Example:
        shown, secrets = without_secrets(account)
    """
    secrets = {name: value.get_secret_value() for name, value in account if isinstance(value, SecretStr)}
    return {name: value for name, value in account if name not in secrets}, secrets


def _with_fields(model: type[ModelT], fields: Mapping[str, Any]) -> type[ModelT]:
    return create_model(model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields)
