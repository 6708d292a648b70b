"""The first start: makes the operator, and says where to go and what to paste."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from host.app import House
from host.identity.accounts import ensure_operator
from tenants.models import User

FIRST_OPERATOR = "operator@tenantry.local"


@dataclass(frozen=True, slots=True)
class Greeting:
    """What is said at the start: for people, and the same facts for machines."""

    lines: tuple[str, ...]
    facts: Mapping[str, Any]


async def greeting(house: House) -> Greeting:
    """Where the house is reached; on the first start also the operator's sign-in and three lines to paste."""
    url = house.settings.public_url
    where = f"Tenantry is at {url}, its documentation at {url}/api/docs"
    if await User.filter(is_operator=True).exists():
        return Greeting((where,), {})
    if house.settings.house.production:
        hint = "Nobody is operator yet: set TENANTRY_OPERATOR__EMAIL and TENANTRY_OPERATOR__PASSWORD and start again."
        return Greeting((where, hint), {})
    password = secrets.token_urlsafe(12)
    await ensure_operator(FIRST_OPERATOR, password)
    curls = curl_lines(house, url, FIRST_OPERATOR, password)
    lines = (
        "",
        where,
        "",
        f"  operator   {FIRST_OPERATOR}",
        f"  password   {password}   (shown this once; POST {url}/api/v1/auth/password/change makes it yours)",
        "",
        "Sign in, make an organisation, look around:",
        "",
        *(f"  {line}" for line in curls),
        "",
    )
    return Greeting(lines, {"operator": {"email": FIRST_OPERATOR, "password": password}, "curl": list(curls)})


def curl_lines(house: House, url: str, email: str, password: str) -> tuple[str, str, str]:
    """Three lines that work when pasted one after the other into a shell with curl and python3."""
    json_type = "-H 'Content-Type: application/json'"
    body = shlex.quote(json.dumps({"email": email, "password": password}))
    token = 'python3 -c \'import json,sys; print(json.load(sys.stdin)["data"]["access_token"])\''  # noqa: S105
    bearer = '-H "Authorization: Bearer $TOKEN"'
    return (
        f"TOKEN=$(curl -s {url}/api/v1/auth/login {json_type} -d {body} | {token})",
        f'curl -s {url}/api/v1/tenants {bearer} {json_type} -d \'{{"name": "Acme"}}\'',
        f"curl -s {url}/api/v1{_something_to_see(house)} {bearer} -H 'X-Tenant: acme'",
    )


def _something_to_see(house: House) -> str:
    """The path of the first list that a plugin serves; the list of plugins where there is none."""
    for owner, route in house.registry.catalog.routes:
        if owner != "host" and route.method == "GET" and route.listing is not None and "<" not in route.path:
            return str(route.path)
    return "/tenant/plugins"
