"""Settings of the mail plugin, for the deployment and for each organisation."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from host.sdk import Backoff, Duration, Rate, Size, TextForm, Title

from .addresses import Address, AddressText, parse_address

NOWHERE = "tenantry.local"
"""The domain of the default sender address; it belongs to nobody."""

FIRST_RETRY_WHEN_AWAY = 5.0  # seconds, when no provider could be reached


def _split(value: object) -> object:
    """Lists in an environment variable are separated by commas; those of a file are lists already."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


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
    """Base of all sections: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pacing(Section):
    """Concurrency and rate limit of a provider; each process applies them by itself."""

    concurrency: int = Field(
        default=10, ge=1, le=1000, description="Messages handed over at the same time, per process; default 10."
    )
    rate: Rate = Field(
        default="unlimited",
        validate_default=True,
        description='Messages per period and process, such as "14/second"; default unlimited.',
    )

    @property
    def interval(self) -> float:
        """Seconds between two messages; 0 when unlimited."""
        return self.rate.seconds / self.rate.amount if self.rate.amount and self.rate.seconds else 0.0


class FileSettings(Pacing):
    folder: str = Field(default="", description="Folder for .eml files; empty: `outbox` in the host's data folder.")


class SmtpSettings(Pacing):
    host: Host = Field(default="", description="Name or address of the SMTP server.")
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port of the SMTP server; empty: 587, or 465 with tls, or 25 with none.",
    )
    username: str = Field(default="", description="User name to sign in with; empty: no sign-in.")
    password: SecretStr = SecretStr("")
    tls: Literal["none", "starttls", "tls"] = Field(
        default="starttls",
        description="Encryption: starttls (default) is required after connecting; tls from the start; none.",
    )
    timeout: Duration = Field(
        default=30.0, le=300, description="Seconds the server may take for each answer; default 30."
    )
    ca_file: str = Field(
        default="", description="PEM file of certificates to trust instead of the system's; empty: the system's."
    )
    ehlo_name: Domain = Field(default="", description="Host name sent in EHLO; empty: the domain of `from_address`.")


class SendGridSettings(Pacing):
    api_key: SecretStr = SecretStr("")
    region: Where = "us"
    endpoint: str = Field(default="", description="Base URL of the API; empty: SendGrid's own for the region.")
    timeout: Duration = Field(default=30.0, le=300)
    webhook_key: PublicKey = Field(
        default="", description="Public key of the signed event webhook; empty: its webhooks are refused."
    )


class MailgunSettings(Pacing):
    api_key: SecretStr = SecretStr("")
    domain: Domain = Field(default="", description="The sending domain at Mailgun.")
    region: Where = "us"
    endpoint: str = Field(default="", description="Base URL of the API; empty: Mailgun's own for the region.")
    timeout: Duration = Field(default=30.0, le=300)
    webhook_key: SecretStr = Field(
        default=SecretStr(""), description="The HTTP webhook signing key; empty: its webhooks are refused."
    )


class SesSettings(Pacing):
    region: Region = "us-east-1"
    access_key: SecretStr = Field(
        default=SecretStr(""), description="AWS access key id; empty: the machine's own role."
    )
    secret_key: SecretStr = SecretStr("")
    configuration_set: ConfigurationSet = ""
    endpoint: str = Field(default="", description="Base URL of the API; empty: Amazon's own for the region.")
    timeout: Duration = Field(default=30.0, le=300)
    topics: Annotated[tuple[Topic, ...], BeforeValidator(_split)] = Field(
        default=(), description="ARNs of the SNS topics whose notifications are accepted; empty: none."
    )


class Settings(Section):
    """Settings of the deployment: `[mail.settings]` in plugins.toml, `TENANTRY_MAIL__…` in the environment."""

    providers: Annotated[tuple[ProviderName, ...], BeforeValidator(_split)] = Field(
        default=("file",),
        min_length=1,
        description="Providers in order of failover: file (default), smtp, sendgrid, mailgun, ses.",
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
        if "file" in self.providers:
            raise ValueError(
                "the provider `file` only writes mail into a folder; in production, set TENANTRY_MAIL__PROVIDERS to "
                "smtp, sendgrid, mailgun or ses"
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
