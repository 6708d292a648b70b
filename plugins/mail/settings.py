"""Settings of the mail plugin, for the deployment and for each organisation."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from host.sdk import Backoff, TextForm, Title

from .addresses import Address, AddressText, parse_address

NOWHERE = "tenantry.local"
"""The domain of the address that mail is from where nobody has set one."""

_RATE = re.compile(r"(\d{1,9})/(second|minute|hour|day)")
FIRST_RETRY_WHEN_AWAY = 5.0  # seconds
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def _split(value: object) -> object:
    """Lists in an environment variable are separated by commas; those of a file are lists already."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _rate(value: str) -> str:
    found = _RATE.fullmatch(value)
    if value != "unlimited" and not (found and int(found[1])):
        raise ValueError('write a rate as a count and a period, such as "14/second", or "unlimited"')
    return value


def _public_key(value: str) -> str:
    if value:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        try:
            usable = isinstance(load_der_public_key(base64.b64decode(value, validate=True)), EllipticCurvePublicKey)
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("give the verification key as SendGrid shows it: one line that begins with MFkw")
    return value


ProviderName = Literal["file", "smtp", "sendgrid", "mailgun", "ses"]
Rate = Annotated[str, AfterValidator(_rate)]
Host = Annotated[str, TextForm(r"[A-Za-z0-9._:-]{0,253}", "a host name or an address")]
Domain = Annotated[str, TextForm(r"(?:[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*)?", "a domain like mail.example.com")]
Region = Annotated[str, TextForm(r"[a-z]{2}(-[a-z]{1,16}){1,2}-[0-9]{1,2}", "a region such as eu-central-1")]
Where = Literal["us", "eu"]
PublicKey = Annotated[str, AfterValidator(_public_key), Field(max_length=500)]
Topic = Annotated[
    str,
    TextForm(
        r"arn:aws[a-z-]{0,10}:sns:[a-z0-9-]{1,30}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?",
        "the ARN of an SNS topic",
    ),
]
ConfigurationSet = Annotated[str, TextForm(r"[A-Za-z0-9_-]{0,64}", "at most 64 letters, digits, - and _")]


class Section(BaseModel):
    """What all sections share: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pacing(Section):
    """How much a provider is asked to take; each process keeps to it by itself."""

    concurrency: int = Field(default=10, ge=1, le=1000, description="Messages handed over at once, per process.")
    rate: Rate = Field(default="unlimited", description='Messages per time and process, such as "14/second".')

    @property
    def interval(self) -> float:
        """Seconds between two messages; 0 when unlimited."""
        found = _RATE.fullmatch(self.rate)
        return _SECONDS[found[2]] / int(found[1]) if found else 0.0


class FileSettings(Pacing):
    folder: str = Field(default="", description="Where .eml files go; empty: a folder in the host's data folder.")


class SmtpSettings(Pacing):
    host: Host = Field(default="", description="Name or address of the server.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Empty: 587, or 465 with tls, or 25 with none.")
    username: str = Field(default="", description="Empty: without signing in.")
    password: SecretStr = SecretStr("")
    tls: Literal["none", "starttls", "tls"] = Field(
        default="starttls", description="starttls begins in the clear and refuses to go on so; tls from the start."
    )
    timeout: float = Field(default=30.0, gt=0, le=300, description="Seconds the server may take for each answer.")
    ca_file: str = Field(default="", description="Certificates to trust instead of the system's, as PEM.")
    ehlo_name: Domain = Field(
        default="", description="The name we introduce ourselves with (EHLO); empty: the domain of `from_address`."
    )


class SendGridSettings(Pacing):
    api_key: SecretStr = SecretStr("")
    region: Where = "us"
    endpoint: str = Field(default="", description="Empty: SendGrid's own for the region.")
    timeout: float = Field(default=30.0, gt=0, le=300)
    webhook_key: PublicKey = Field(default="", description="Public key of the signed event webhook.")


class MailgunSettings(Pacing):
    api_key: SecretStr = SecretStr("")
    domain: Domain = Field(default="", description="The sending domain.")
    region: Where = "us"
    endpoint: str = Field(default="", description="Empty: Mailgun's own for the region.")
    timeout: float = Field(default=30.0, gt=0, le=300)
    webhook_key: SecretStr = Field(default=SecretStr(""), description="The HTTP webhook signing key.")


class SesSettings(Pacing):
    region: Region = "us-east-1"
    access_key: SecretStr = Field(default=SecretStr(""), description="Empty: the machine's own role.")
    secret_key: SecretStr = SecretStr("")
    configuration_set: ConfigurationSet = ""
    endpoint: str = Field(default="", description="Empty: Amazon's own for the region.")
    timeout: float = Field(default=30.0, gt=0, le=300)
    topics: Annotated[tuple[Topic, ...], BeforeValidator(_split)] = Field(
        default=(), description="ARNs of the SNS topics whose notifications are believed."
    )


class Settings(Section):
    """This deployment's: `[mail.settings]` in plugins.toml, `TENANTRY_MAIL__…` in the environment."""

    providers: Annotated[tuple[ProviderName, ...], BeforeValidator(_split)] = Field(
        default=("file",), min_length=1, description="In the order of failover: file, smtp, sendgrid, mailgun, ses."
    )
    from_address: AddressText = Field(
        default=f"no-reply@{NOWHERE}", description="Sender of the host's own mail and of who has none confirmed."
    )
    from_name: Title = Field(default="", description="Empty: the organisation's name.")
    first_retry: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Seconds before a message that was refused for now (4xx, such as greylisting) is tried again; then "
        "doubled, up to an hour. Where the server cannot be reached it is tried sooner.",
    )
    retry_hours: float = Field(
        default=48.0, ge=0, le=240, description="Hours of waiting between tries after which a message has failed."
    )
    max_attachments: ByteSize = Field(
        default=ByteSize(10_000_000), gt=0, description="Size of a message's attachments together."
    )
    allow_private_hosts: bool = Field(
        default=False, description="Whether an organisation's own SMTP server may be on a private network."
    )
    webhook_tolerance: float = Field(
        default=86_400, gt=0, le=31_536_000, description="Seconds that a webhook's signed time may be away from now."
    )
    templates: str = Field(
        default="",
        description="A folder of templates that go before the plugin's own, laid out as plugins/mail/templates.",
    )
    locale: Annotated[str, TextForm(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", "a language tag such as de or de-AT")] = Field(
        default="en",
        description="The language of readers for whom there is no other.",
    )
    file: FileSettings = FileSettings()
    smtp: SmtpSettings = SmtpSettings()
    sendgrid: SendGridSettings = SendGridSettings()
    mailgun: MailgunSettings = MailgunSettings()
    ses: SesSettings = SesSettings()

    @field_validator("providers")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("name each provider once")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        missing = [
            f"{name} needs {key}"
            for name, key, value in (
                ("smtp", "host", self.smtp.host),
                ("sendgrid", "api_key", self.sendgrid.api_key.get_secret_value()),
                ("mailgun", "api_key", self.mailgun.api_key.get_secret_value()),
                ("mailgun", "domain", self.mailgun.domain),
            )
            if name in self.providers and not value
        ]
        if missing:
            raise ValueError(f"among the providers, {', '.join(missing)} (TENANTRY_MAIL__<PROVIDER>__<KEY>)")
        return self

    def backoff(self, *, away: bool, uncertain: bool = False, within: float = float("inf")) -> Backoff:
        """How long to wait between tries.

        away: the provider was not reached, rather than refused. uncertain: it may have taken the message, which is then
        tried five times and no more: people may get each of them. within: seconds.
        """
        first = min(self.first_retry, FIRST_RETRY_WHEN_AWAY) if away and not uncertain else self.first_retry
        five_tries = 15 * first if uncertain else within
        return Backoff(first, within=min(self.retry_hours * 3600, within, five_tries))

    @model_validator(mode="after")
    def _loses_nothing(self, info: ValidationInfo) -> Settings:
        if not (info.context or {}).get("production"):
            return self
        if "file" in self.providers:
            raise ValueError(
                "the provider `file` only writes mail into a folder; in production, set TENANTRY_MAIL__PROVIDERS to "
                "smtp, sendgrid, mailgun or ses"
            )
        if self.sender.email.endswith(f"@{NOWHERE}"):
            raise ValueError(
                f"{self.sender.email} is nobody's; in production, set TENANTRY_MAIL__FROM_ADDRESS to one of yours"
            )
        return self

    @property
    def sender(self) -> Address:
        """Who the host's own mail is from."""
        address = parse_address(self.from_address)
        return Address(self.from_name or address.name, address.email)


Category = Annotated[
    str,
    TextForm(r"[a-z0-9][a-z0-9_.-]{0,62}", "1 to 63 lower-case letters, digits, dots, - and _"),
]
"""What kind of mail it is, as people unsubscribe from it: a slug such as "newsletter"."""


class TenantSettings(BaseModel, extra="forbid"):
    """What each organisation may set."""

    sender: AddressText | Literal[""] = Field(
        default="", description="Who mail is from when a message does not say; empty: the sender confirmed first."
    )
    transactional_categories: list[Category] = Field(
        default=["transactional"],
        max_length=50,
        description="Categories that nobody can unsubscribe from; every other goes out as bulk mail.",
    )
    keep_days: int = Field(
        default=90, ge=1, le=3650, description="Days that the content of a message is kept once it is over."
    )
    track_opens: bool = Field(default=False, description="Whether HTML carries a picture that tells of opens.")
    track_clicks: bool = Field(default=False, description="Whether links in HTML lead through us, to count clicks.")
