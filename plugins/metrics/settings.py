"""Deployment settings of the metrics plugin: who may scrape it besides operators."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pydantic import BaseModel, Field, SecretStr, field_validator

SHORTEST_TOKEN = 16


class Settings(BaseModel, frozen=True, extra="forbid"):
    token: SecretStr = Field(
        default=SecretStr(""),
        description="Bearer token that scrapers send, at least 16 characters; empty (default) accepts no token.",
    )
    addresses: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description="Addresses and networks that need no token to scrape (default: none); see server.trusted_proxies.",
    )

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr) -> SecretStr:
        if 0 < len(token.get_secret_value()) < SHORTEST_TOKEN:
            raise ValueError(f"needs at least {SHORTEST_TOKEN} characters, such as `openssl rand -hex 16` makes")
        return token
