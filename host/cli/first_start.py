"""Create the operator at the first start, and print the address and curl commands to try."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from host.app import Application
from host.identity.accounts import ensure_operator
from host.registry.kinds import ROUTES
from tenants.models import Tenant, User

FIRST_OPERATOR = "operator@tenantry.local"
_PASSWORD = "TENANTRY_OPERATOR__PASSWORD"  # noqa: S105 - the name of a variable
_PICK = "python3 -c 'import json,sys; print(json.load(sys.stdin)[\"data\"][sys.argv[1]])'"
_CREDENTIALS = (
    f'python3 -c \'import json,os; print(json.dumps({{"email": "EMAIL", "password": os.environ["{_PASSWORD}"]}}))\''
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What is said at the start: for people, and the same facts for machines."""

    lines: tuple[str, ...]
    facts: Mapping[str, Any]


async def greeting(application: Application) -> Greeting:
    """Where the host is reached; on the first start also who operates it and three lines to paste."""
    settings = application.settings
    url, operator = settings.public_url, settings.operator
    where = f"Tenantry is at {url}, its documentation at {url}/api/docs"
    if not await User.filter(is_operator=True).exists():
        if settings.app.production:
            hint = "Nobody is operator yet: set TENANTRY_OPERATOR__EMAIL and TENANTRY_OPERATOR__PASSWORD, start again."
            return Greeting((where, hint), {})
        password = secrets.token_urlsafe(12)
        await ensure_operator(FIRST_OPERATOR, password)
        password_line = (
            f"  password   {password}   (shown this once; POST {url}/api/v1/auth/password/change makes it yours)"
        )
        curls = curl_lines(application, url, shlex.quote(json.dumps({"email": FIRST_OPERATOR, "password": password})))
        facts = {"operator": {"email": FIRST_OPERATOR, "password": password}, "curl": list(curls)}
        return Greeting(_first_lines(where, FIRST_OPERATOR, password_line, curls), facts)
    if settings.app.production or not operator.email or await Tenant.exists():
        return Greeting((where,), {})
    curls = curl_lines(application, url, f'"$({_CREDENTIALS.replace("EMAIL", operator.email)})"')
    password_line = f"  password   the one in {_PASSWORD}; the first line below reads it from there"
    return Greeting(_first_lines(where, operator.email, password_line, curls), {"curl": list(curls)})


def curl_lines(application: Application, url: str, credentials: str) -> tuple[str, str, str]:
    """Three lines that work when pasted one after the other into a shell with curl and python3.

    credentials: the body of the sign-in, as a word of the shell.
    """
    json_type = "-H 'Content-Type: application/json'"
    bearer = '-H "Authorization: Bearer $TOKEN"'
    return (
        f"TOKEN=$(curl -s {url}/api/v1/auth/login {json_type} -d {credentials} | {_PICK} access_token)",
        f'SLUG=$(curl -s {url}/api/v1/tenants {bearer} {json_type} -d \'{{"name": "Acme"}}\' | {_PICK} slug)',
        f'curl -s {url}/api/v1{_something_to_see(application)} {bearer} -H "X-Tenant: $SLUG"',
    )


def _first_lines(where: str, email: str, password: str, curls: tuple[str, ...]) -> tuple[str, ...]:
    return (
        "",
        where,
        "",
        f"  operator   {email}",
        password,
        "",
        "Sign in, make an organisation, look around:",
        "",
        *(f"  {line}" for line in curls),
        "",
    )


def _something_to_see(application: Application) -> str:
    """The path of the first list that a plugin serves; the list of plugins where there is none."""
    for owner, route in application.registry.catalog.all(ROUTES):
        if owner != "host" and route.method == "GET" and route.listing is not None and "<" not in route.path:
            return str(route.path)
    return "/tenant/plugins"
