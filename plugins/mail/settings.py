"""Settings of the mail plugin, for the deployment and for each organisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from host.sdk import Backoff, Duration, Size, TextForm, Title

from .addresses import Address, AddressText, parse_address
from .providers.catalogue import PROVIDERS
from .providers.spec import Section

NOWHERE = "tenantry.local"
"""The domain of the default sender address; it belongs to nobody."""

FIRST_RETRY_WHEN_AWAY = 5.0  # seconds, when no provider could be reached


if TYPE_CHECKING:
    ProviderName = str
else:
    ProviderName = Literal[PROVIDERS.names]


@PROVIDERS.sections
class Settings(Section):
    """Settings of the deployment: `[mail.settings]` in plugins.toml, `TENANTRY_MAIL__…` in the environment."""

    providers: tuple[ProviderName, ...] = Field(
        default=("file",),
        min_length=1,
        description=f"Providers in order of failover, of {', '.join(PROVIDERS.names)}; default file.",
    )
    from_address: AddressText = Field(
        default=f"no-reply@{NOWHERE}",
        description="Sender of account mail and of organisations without a confirmed sender.",
    )
    from_name: Title = Field(default="", description="Name of that sender; empty: the organisation's name.")
    first_retry: Duration = Field(
        default=60.0,
        le=3600,
        description="Seconds before a message that was refused temporarily (4xx, such as greylisting) is tried again, "
        "then doubled, up to an hour; default 60. Where the server cannot be reached it is tried sooner.",
    )
    retry_hours: float = Field(
        default=48.0, ge=0, le=240, description="Hours of waiting in all, after which a message has failed; default 48."
    )
    max_attachments: Size = Field(
        default=10 * 1024**2, description='Size of all attachments of a message together, such as "10 MB", the default.'
    )
    allow_private_hosts: bool = Field(
        default=False, description="Whether an organisation's own SMTP server may be on a private network; default no."
    )
    webhook_tolerance: Duration = Field(
        default=86_400,
        le=31_536_000,
        description="Seconds that a webhook's signed time may differ from now; default one day.",
    )
    templates: str = Field(
        default="",
        description="Folder of templates that take precedence over the plugin's, laid out as plugins/mail/templates.",
    )
    locale: Annotated[str, TextForm(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", "a language tag such as de or de-AT")] = Field(
        default="en",
        description="Default language of mail; default en.",
    )

    @field_validator("providers")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("name each provider once")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        missing = PROVIDERS.missing(self, self.providers)
        if missing:
            raise ValueError(f"among the providers, {', '.join(missing)} (TENANTRY_MAIL__<PROVIDER>__<KEY>)")
        return self

    def backoff(self, *, away: bool, uncertain: bool = False, within: float = float("inf")) -> Backoff:
        """How long to wait between tries.

        away: the provider was not reached, rather than refused the message. uncertain: it may have taken the message,
        which is then tried five times at most, since people may receive each of them. within: seconds in all.
        """
        first = min(self.first_retry, FIRST_RETRY_WHEN_AWAY) if away and not uncertain else self.first_retry
        five_tries = 15 * first if uncertain else within
        return Backoff(first, within=min(self.retry_hours * 3600, within, five_tries))

    @model_validator(mode="after")
    def _loses_nothing(self, info: ValidationInfo) -> Settings:
        if not (info.context or {}).get("production"):
            return self
        if useless := [name for name in self.providers if not PROVIDERS[name].delivers]:
            *others, last = (spec.name for spec in PROVIDERS if spec.delivers)
            raise ValueError(
                f"the provider `{useless[0]}` only writes mail into a folder; in production, set "
                f"TENANTRY_MAIL__PROVIDERS to {', '.join(others)} or {last}"
            )
        if self.sender.email.endswith(f"@{NOWHERE}"):
            raise ValueError(
                f"{self.sender.email} is a placeholder; in production, set TENANTRY_MAIL__FROM_ADDRESS to one of yours"
            )
        return self

    @property
    def sender(self) -> Address:
        """The sender of account mail."""
        address = parse_address(self.from_address)
        return Address(self.from_name or address.name, address.email)


Category = Annotated[
    str,
    TextForm(r"[a-z0-9][a-z0-9_.-]{0,62}", "1 to 63 lower-case letters, digits, dots, - and _"),
]
"""A category of mail that people can unsubscribe from: a slug such as "newsletter"."""


class TenantSettings(BaseModel, extra="forbid"):
    """Settings of each organisation."""

    sender: AddressText | Literal[""] = Field(
        default="", description="Default sender of messages; empty: the sender confirmed first."
    )
    transactional_categories: list[Category] = Field(
        default=["transactional"],
        max_length=50,
        description="Categories that nobody can unsubscribe from; all others are sent as bulk mail.",
    )
    keep_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="Days that the content of a message is kept once it is sent or has failed; default 90.",
    )
    track_opens: bool = Field(default=False, description="Whether HTML contains a picture to count opens; default no.")
    track_clicks: bool = Field(
        default=False, description="Whether links in HTML are redirected to count clicks; default no."
    )
