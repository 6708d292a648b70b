"""Pydantic models of the sections of config/settings.toml, with their defaults and checks."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from tenants.limits import Duration, Rate, Size, parse_rate


def _bare_url(value: str) -> str:
    return value.rstrip("/")


Count = Annotated[int, Field(gt=0)]
Hidden = Annotated[str, Field(repr=False)]
"""An address that may hold a password: never shown by repr."""


class Section(BaseModel):
    """What all sections share: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AppSettings(Section):
    """The deployment as a whole."""

    environment: Literal["development", "production"] = "development"  # production: no generated secrets
    base_domain: str = ""  # "example.com" makes acme.example.com lead to the tenant acme; "" switches that off
    public_url: str = ""  # what links in messages begin with; "" means the address served
    default_plan: str = "free"  # the plan of a new tenant
    strict: bool = False  # a plugin that fails at the start stops it instead of going into quarantine

    _clean = field_validator("public_url")(_bare_url)

    @property
    def production(self) -> bool:
        """Whether this deployment serves real people: generated secrets and development aids are refused."""
        return self.environment == "production"


class ServerSettings(Section):
    """The web server."""

    host: str = "127.0.0.1"  # the address to listen on
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # the port to listen on; 0 takes a free one
    workers: Count = 1  # web processes
    server: Literal["hypercorn", "uvicorn", "granian"] = "hypercorn"  # the web server; the last two must be installed
    uvloop: bool = True  # whether web and worker processes run on uvloop, where the system has it; it takes less CPU
    run_jobs: bool = True  # whether the web process also runs background jobs
    trusted_proxies: Annotated[int, Field(ge=0)] = 0  # number of proxies in front whose X-Forwarded-For is believed
    max_body: Size = 1024**2  # bytes of a request body at most, unless a route allows more
    body_timeout: Duration = 30.0  # seconds that a client may be silent, or slow, while it sends a body
    min_body_rate: Size = 8 * 1024  # bytes a second, on average, that a body has to keep to after `body_timeout`
    request_timeout: Duration = 60.0  # seconds a handler may take, from the last piece of a body that it reads


class CorsSettings(Section):
    """Browsers that call the API from other origins."""

    origins: tuple[str, ...] = ()  # allowed origins, such as "https://app.example.com"
    max_age: Annotated[int, Field(ge=0)] = 600  # seconds for which a browser may cache a preflight answer


class OutboundSettings(Section):
    """Requests to untrusted addresses, such as webhooks."""

    inner_networks: tuple[IPv4Network | IPv6Network, ...] = ()  # your own that they may lead to, "10.20.0.0/16"


class DataSettings(Section):
    """The folder for everything embedded."""

    dir: Path = Path(".tenantry")  # embedded database and Redis, stored files, generated secrets


class DatabaseSettings(Section):
    """The database."""

    url: Hidden = ""  # postgres://…; "" means SQLite in the data folder
    owner_url: Hidden = ""  # the login that owns the tables and migrates; "" means the same as url
    pool: Count = 10  # connections per process
    timeout: Duration = 30.0  # seconds that a statement may take
    pooler: bool = False  # whether a pooler in transaction mode (PgBouncer) is in front


class RedisSettings(Section):
    """Redis."""

    url: Hidden = ""  # redis://…; "" means an embedded server in the data folder
    timeout: Duration = 2.0  # seconds that a command may take


class StorageSettings(Section):
    """Where files are stored."""

    kind: Literal["local", "s3", "gcs"] = "local"  # local: in the data folder; gcs needs `tenantry[gcs]`
    bucket: str = ""  # the bucket's name; needed with s3 and gcs
    endpoint: str = ""  # the server's address; "" means Amazon's or Google's own
    region: str = "us-east-1"  # the bucket's region
    access_key: SecretStr = SecretStr("")  # the access key's id
    secret_key: SecretStr = SecretStr("")  # the access key's secret

    credentials_file: str = ""  # the key file of Google's service account; "" means the machine's own credentials

    @model_validator(mode="after")
    def _bucket_named(self) -> Self:
        if self.kind != "local" and not self.bucket:
            raise ValueError(f'storage.kind is "{self.kind}" but storage.bucket is empty: name the bucket')
        return self


class IdentitySettings(Section):
    """Accounts, sessions and their secret."""

    secret: SecretStr = SecretStr("")  # every key is derived from it; 32 characters at least
    access_token_minutes: Count = 15  # minutes that an access token is valid
    session_days: Count = 30  # days that a session lasts without being used
    invitation_days: Count = 7  # days in which an invitation may be accepted
    reset_minutes: Count = 30  # minutes that a link to reset a password is valid
    verification_hours: Count = 48  # hours that a link to verify an address is valid
    registration: bool = True  # whether anonymous callers may register
    require_verified_email: bool = False  # whether sign-in needs a verified address
    default_locale: str = ""  # language of people whose browser names none (BCP 47)

    @field_validator("default_locale")
    @classmethod
    def _language(cls, value: str) -> str:
        import langcodes  # not at the start: it takes 20 ms and 3 MB

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

    issuer: str = ""  # the address of an OpenID provider
    client_id: str  # this deployment's id at the provider
    client_secret: SecretStr = SecretStr("")  # this deployment's secret at the provider
    scopes: tuple[str, ...] = ("openid", "email", "profile")  # what is asked of the provider
    trust_email: bool = False  # an address counts as proved if the provider does not say
    tenants: tuple[str, ...] = ()  # directories whose people may sign in, of an issuer that serves many
    authorize_url: str = ""  # plain OAuth 2: where people sign in
    token_url: str = ""  # plain OAuth 2: where codes are exchanged
    userinfo_url: str = ""  # plain OAuth 2: where the account is read

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not self.issuer and not (self.authorize_url and self.token_url and self.userinfo_url):
            raise ValueError("name the issuer, or authorize_url, token_url and userinfo_url together")
        return self


class RatesSettings(Section):
    """How many requests are answered."""

    public: Rate = parse_rate("100/minute")  # per address
    authenticated: Rate = parse_rate("1000/minute")  # per person or key
    signed: Rate = parse_rate("6000/minute")  # per address, for webhooks and links whose own signature is checked
    sign_in: Rate = parse_rate("5/15 minutes")  # wrong attempts, per address and account
    organisations: Rate = parse_rate("10/hour")  # organisations made by one person
    open_streams: Count = 20  # WebSockets and streams of server-sent events that one person may have open


class JobsSettings(Section):
    """Background jobs."""

    concurrency: Count = 10  # jobs at once per process
    reconcile_every: Duration = 2.0  # seconds between searches for lost, due and abandoned jobs
    lease: Duration = 60.0  # seconds without a heartbeat after which a running job is taken up again
    keep_days: Count = 7  # days that finished jobs stay in the database
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0  # a worker's port for Prometheus, without a token; 0: none


class TenantsSettings(Section):
    """The life of tenants."""

    grace_days: Annotated[int, Field(ge=0)] = 30  # days between the deletion of a tenant and its purge
    reserved_slugs: tuple[str, ...] = ()  # slugs that no tenant may take


class LogSettings(Section):
    """Log lines."""

    level: Literal["debug", "info", "warning", "error"] = "info"  # the least severity that is logged
    format: Literal["auto", "console", "json"] = "auto"  # auto: console on a terminal, else JSON


class TracingSettings(Section):
    """OpenTelemetry traces."""

    exporter: Literal["off", "log", "otlp"] = "off"  # log: trace ids in log lines, nothing is sent
    endpoint: str = ""  # OTLP over HTTP; "" means what OTEL_EXPORTER_OTLP_* say
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0  # share of the traces begun here that are recorded
    trust_callers: bool = True  # whether a caller's traceparent names the trace and says if it is recorded
    service: str = "tenantry"  # the name of this deployment in traces

    @field_validator("endpoint")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError('write the collector\'s address as "http://collector:4318"')
        return value


class SentrySettings(Section):
    """Error reports."""

    dsn: SecretStr = SecretStr("")  # where unexpected errors are sent; empty: nowhere


class OperatorSettings(Section):
    """The operator created at the first start."""

    email: str = ""  # the operator's address
    password: SecretStr = SecretStr("")  # the operator's password


class Sections(Section):
    """All sections of the settings file."""

    app: AppSettings = AppSettings()
    server: ServerSettings = ServerSettings()
    cors: CorsSettings = CorsSettings()
    outbound: OutboundSettings = OutboundSettings()
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


class Settings(Sections):
    """All settings of the host. `root` is the folder that holds `plugins.toml` and `config/`."""

    root: Path = Path()

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
        """The start of every link, without a slash at the end: app.public_url, else the address served."""
        host = "localhost" if self.server.host in ("0.0.0.0", "::") else self.server.host  # noqa: S104
        return self.app.public_url or f"http://{host}:{self.server.port}"
