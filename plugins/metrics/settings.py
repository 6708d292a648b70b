"""Deployment settings of the metrics plugin: who may scrape it besides operators."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, field_validator

SHORTEST_TOKEN = 16


def _networks(value: object) -> object:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)):
        raise ValueError('write addresses like ["127.0.0.1", "10.0.0.0/8"]')
    return tuple(ip_network(str(word).strip()) for word in words if str(word).strip())


class Settings(BaseModel, frozen=True, extra="forbid"):
    token: SecretStr = Field(
        default=SecretStr(""),
        description="Bearer token that scrapers send, at least 16 characters; empty (default) accepts no token.",
    )
    addresses: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)] = Field(
        default=(),
        description="Addresses and networks that need no token to scrape (default: none); see server.trusted_proxies.",
    )

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr) -> SecretStr:
        if 0 < len(token.get_secret_value()) < SHORTEST_TOKEN:
            raise ValueError(f"needs at least {SHORTEST_TOKEN} characters, such as `openssl rand -hex 16` makes")
        return token
