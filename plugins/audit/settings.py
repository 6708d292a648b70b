"""What a deployment may set for its audit log."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr


class Settings(BaseModel, extra="forbid", frozen=True):
    seal_seconds: int = Field(default=10, ge=1, le=3600, description="How long an entry may wait to be sealed.")
    house_retention_days: int = Field(
        default=365, ge=1, description="How long entries of no tenant, such as sign-ins, are kept."
    )
    chain_secret: SecretStr = Field(
        default=SecretStr(""),
        description="The deployment's former secret, with which entries were signed; empty: today's.",
    )
