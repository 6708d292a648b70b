"""The host's settings: one frozen pydantic model per section, read from a file and the environment."""

from __future__ import annotations

from host.settings.generated import secrets
from host.settings.loading import load
from host.settings.sections import (
    IdentitySettings,
    OAuthProvider,
    OperatorSettings,
    OutboundSettings,
    RatesSettings,
    Settings,
    TracingSettings,
)

__all__ = [
    "IdentitySettings",
    "OAuthProvider",
    "OperatorSettings",
    "OutboundSettings",
    "RatesSettings",
    "Settings",
    "TracingSettings",
    "load",
    "secrets",
]
