"""Pydantic models of the sections of config/settings.toml, with their defaults and checks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import langcodes
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)?\s*$", re.IGNORECASE)
_POWERS = {"B": 0, "KB": 1, "MB": 2, "GB": 3, "TB": 4}
_RATE = re.compile(r"^\d+/(?:[1-9]\d* )?(?:second|minute|hour|day)s?$")


def parse_size(value: object) -> object:
    """A size such as "1 MB" in bytes, where 1 KB is 1024 bytes; what is not text is handed back as it is.

    Raises:
        ValueError: the text is not a number with one of the units B, KB, MB, GB, TB.
    """
    if not isinstance(value, str):
        return value
    found = _SIZE.match(value)
    if found is None:
        raise ValueError('write a size as a number and a unit, such as "500 KB", "1 MB" or "2 GB"')
    return round(float(found[1]) * 1024 ** _POWERS[(found[2] or "B").upper()])


def _check_rate(value: str) -> str:
    if not _RATE.match(value):
        raise ValueError('write a rate as a count and a period, such as "100/minute" or "5/15 minutes"')
    return value


def _split(value: object) -> object:
    """Lists in an environment variable are separated by commas; those of a file are lists already."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return tuple(value) if isinstance(value, list) else value


def _bare_url(value: str) -> str:
    return value.rstrip("/")


Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Rate = Annotated[str, BeforeValidator(lambda value: _check_rate(str(value)))]
Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Hidden = Annotated[str, Field(repr=False)]
"""An address that may hold a password: never shown by repr."""


class Section(BaseModel):
    """What all sections share: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AppSettings(Section):
    environment: Literal["development", "production"] = "development"
    base_domain: str = ""
    public_url: str = ""
    default_plan: str = "free"
    strict: bool = False

    _clean = field_validator("public_url")(_bare_url)

    @property
    def production(self) -> bool:
        """Whether this deployment serves real people: generated secrets and development aids are refused."""
        return self.environment == "production"


class ServerSettings(Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    workers: Count = 1
    server: Literal["hypercorn", "uvicorn", "granian"] = "hypercorn"
    run_jobs: bool = True
    trusted_proxies: Annotated[int, Field(ge=0)] = 0
    max_body: Size = 1024**2
    body_timeout: Seconds = 30.0
    request_timeout: Seconds = 60.0


class CorsSettings(Section):
    origins: Words = ()
    max_age: Annotated[int, Field(ge=0)] = 600


class DataSettings(Section):
    dir: Path = Path(".tenantry")


class DatabaseSettings(Section):
    url: Hidden = ""
    owner_url: Hidden = ""
    pool: Count = 10
    timeout: Seconds = 30.0
    pooler: bool = False


class RedisSettings(Section):
    url: Hidden = ""
    timeout: Seconds = 2.0


class StorageSettings(Section):
    kind: Literal["local", "s3"] = "local"
    bucket: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    access_key: SecretStr = SecretStr("")
    secret_key: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _bucket_named(self) -> Self:
        if self.kind == "s3" and not self.bucket:
            raise ValueError('storage.kind is "s3" but storage.bucket is empty: name the bucket')
        return self


class IdentitySettings(Section):
    secret: SecretStr = SecretStr("")
    access_token_minutes: Count = 15
    session_days: Count = 30
    invitation_days: Count = 7
    reset_minutes: Count = 30
    verification_hours: Count = 48
    registration: bool = True
    require_verified_email: bool = False
    default_locale: str = ""

    @field_validator("default_locale")
    @classmethod
    def _language(cls, value: str) -> str:
        if value and not langcodes.tag_is_valid(value):
            raise ValueError('write a language tag (BCP 47), such as "en" or "de-AT"')
        return value

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 32:
            raise ValueError("a signing secret needs 32 characters at least: `openssl rand -base64 48` makes one")
        return value


class OAuthProvider(Section):
    """One way to sign in with another service: an OpenID issuer, or the three addresses of a plain OAuth 2 one."""

    issuer: str = ""
    client_id: str
    client_secret: SecretStr = SecretStr("")
    scopes: Words = ("openid", "email", "profile")
    trust_email: bool = False
    tenants: Words = ()
    authorize_url: str = ""
    token_url: str = ""
    userinfo_url: str = ""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not self.issuer and not (self.authorize_url and self.token_url and self.userinfo_url):
            raise ValueError("name the issuer, or authorize_url, token_url and userinfo_url together")
        return self


class RatesSettings(Section):
    public: Rate = "100/minute"
    authenticated: Rate = "1000/minute"
    signed: Rate = "6000/minute"
    sign_in: Rate = "5/15 minutes"
    organisations: Rate = "10/hour"


class JobsSettings(Section):
    concurrency: Count = 10
    reconcile_every: Seconds = 2.0
    lease: Seconds = 60.0
    keep_days: Count = 7


class TenantsSettings(Section):
    grace_days: Annotated[int, Field(ge=0)] = 30
    reserved_slugs: Words = ()


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class TracingSettings(Section):
    exporter: Literal["off", "log", "otlp"] = "off"
    endpoint: str = ""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    trust_callers: bool = True
    service: str = "tenantry"

    @field_validator("endpoint")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError('write the collector\'s address as "http://collector:4318"')
        return value


class SentrySettings(Section):
    dsn: SecretStr = SecretStr("")


class OperatorSettings(Section):
    email: str = ""
    password: SecretStr = SecretStr("")


class Settings(Section):
    """All of them. `root` is the folder that holds `plugins.toml` and `config/`."""

    root: Path = Path()
    app: AppSettings = AppSettings()
    server: ServerSettings = ServerSettings()
    cors: CorsSettings = CorsSettings()
    data: DataSettings = DataSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    storage: StorageSettings = StorageSettings()
    identity: IdentitySettings = IdentitySettings()
    oauth: Mapping[str, OAuthProvider] = Field(default_factory=dict)
    rates: RatesSettings = RatesSettings()
    jobs: JobsSettings = JobsSettings()
    tenants: TenantsSettings = TenantsSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    sentry: SentrySettings = SentrySettings()
    operator: OperatorSettings = OperatorSettings()

    @property
    def plugins_file(self) -> Path:
        """Which plugins this deployment loads."""
        return self.root / "plugins.toml"

    @property
    def plans_file(self) -> Path:
        """What each plan allows."""
        return self.root / "config" / "plans.toml"

    @property
    def roles_file(self) -> Path:
        """The roles every new tenant starts with."""
        return self.root / "config" / "roles.toml"

    @property
    def public_url(self) -> str:
        """What links begin with, without a slash at the end: the configured one, else the address served."""
        host = "localhost" if self.server.host in ("0.0.0.0", "::") else self.server.host  # noqa: S104
        return self.app.public_url or f"http://{host}:{self.server.port}"
