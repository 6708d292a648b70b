"""The host's settings: one frozen pydantic model per section, read from a file and the environment."""

from __future__ import annotations

from host.settings.generated import secrets
from host.settings.loading import load
from host.settings.sections import (
    AppSettings,
    CorsSettings,
    DatabaseSettings,
    DataSettings,
    IdentitySettings,
    JobsSettings,
    LogSettings,
    OAuthProvider,
    OperatorSettings,
    RatesSettings,
    RedisSettings,
    SentrySettings,
    ServerSettings,
    Settings,
    StorageSettings,
    TenantsSettings,
    TracingSettings,
)

__all__ = [
    "AppSettings",
    "CorsSettings",
    "DataSettings",
    "DatabaseSettings",
    "IdentitySettings",
    "JobsSettings",
    "LogSettings",
    "OAuthProvider",
    "OperatorSettings",
    "RatesSettings",
    "RedisSettings",
    "SentrySettings",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "TenantsSettings",
    "TracingSettings",
    "load",
    "secrets",
]
