"""Deployment settings of the audit plugin."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr


class Settings(BaseModel, extra="forbid", frozen=True):
    seal_seconds: int = Field(default=10, ge=1, le=3600, description="Seconds an entry may wait to be sealed.")
    system_retention_days: int = Field(
        default=365, ge=1, description="Days to keep entries that belong to no tenant, such as sign-ins."
    )
    chain_secret: SecretStr = Field(
        default=SecretStr(""),
        description="The former deployment secret that signed the log, if it was changed; empty: the present one.",
    )
