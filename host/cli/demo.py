"""`tenantry demo`: create two tenants with people and fill them through the plugins' own endpoints."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import click
import httpx
from pydantic import BaseModel

from host.app import Application
from host.cli.command import asynchronous, dry_run_option, yes_option
from host.cli.open_application import opened
from host.cli.terminal import Complaint, Terminal
from host.contracts import Route
from host.identity.accounts import ensure_operator
from host.identity.sessions import start
from host.registry.kinds import ROUTES
from tenants.models import Tenant, User

TENANTS = {"demo-acme": "Acme (demo)", "demo-globex": "Globex (demo)"}
PERSON = "demo@tenantry.local"
COPIES = 3  # how many of each thing
WORDS = ("Website relaunch", "Spring fair", "New office", "Annual report", "Customer survey", "Price list")


@click.command()
@yes_option
@dry_run_option
@asynchronous
async def demo(terminal: Terminal, yes: bool, dry_run: bool) -> None:
    """Fill a development deployment with something to look at."""
    async with opened(migrate=True) as application:
        if application.settings.app.production:
            raise Complaint(
                "this is a production deployment", "demo data belongs into development only", code="REFUSED"
            )
        routes = fillable(application)
        if dry_run:
            names = [f"{owner}.{route.name}" for owner, route in routes]
            return terminal.done({"tenants": list(TENANTS), "operations": names}, f"Would call {', '.join(names)}.")
        if await Tenant.all().exists():
            terminal.confirm("There are tenants already. Add demo data beside them?", yes)
        password = secrets.token_urlsafe(12)
        person, old = await _person(password)
        created: dict[str, dict[str, int]] = {}
        with terminal.progress("filling", len(TENANTS)) as advance:
            for number, (slug, name) in enumerate(TENANTS.items(), 1):
                created[slug] = await _furnish(application, slug, name, person, routes)
                advance(number)
    shown = None if old else password
    lines = [
        f"{slug}: {', '.join(f'{count} {what}' for what, count in created[slug].items()) or 'empty'}"
        for slug in created
    ]
    sign_in = f"Sign in as {PERSON}, with the password {shown or 'of the first time'}."
    terminal.done({"tenants": created, "email": PERSON, "password": shown}, *lines, sign_in)


def fillable(application: Application) -> list[tuple[str, Route]]:
    """The plugins' endpoints that create something, those first that need nothing made before."""
    creating = [
        (owner, route)
        for owner, route in application.registry.catalog.all(ROUTES)
        if owner != "host" and route.method == "POST" and route.permission and route.name.endswith(".create")
    ]
    return sorted(creating, key=lambda each: each[1].path.count("<"))


async def _person(password: str) -> tuple[User, bool]:
    existing = await User.get_or_none(email=PERSON)
    return existing or await ensure_operator(PERSON, password), existing is not None


async def _furnish(
    application: Application, slug: str, name: str, person: User, routes: list[tuple[str, Route]]
) -> dict[str, int]:
    """Call the endpoints as a signed-in owner; how many of each thing there are more now."""
    tenant = await Tenant.get_or_none(slug=slug)
    if tenant is None:
        plan = application.services.plans.ids[-1]
        tenant = await application.provisioning.create(name, slug=slug, plan=plan, owner=person)
    signed_in = await start(person, method="demo", tenant_id=tenant.id)
    headers = {"Authorization": f"Bearer {signed_in.access_token}", "X-Tenant": tenant.slug}
    transport = httpx.ASGITransport(app=application.asgi())  # type: ignore[arg-type]
    counts: Counter[str] = Counter()
    samples = _Samples()
    async with httpx.AsyncClient(transport=transport, base_url="http://demo/api/v1", headers=headers) as client:
        for owner, route in routes:
            for path in samples.paths(route.path):
                for copy in range(COPIES):
                    answer = await client.post(path, json=filled(_body_of(route), copy))
                    if answer.is_success:
                        samples.put(application, route, answer.json()["data"])
                        counts[f"{owner} {route.name.split('.')[0]}"] += 1
                    elif answer.is_server_error:
                        error = answer.json()["error"]
                        raise Complaint(
                            f"{owner}.{route.name} failed: {error['message']}", f"see {error['request_id']} in the log"
                        )
    return dict(counts)


@dataclass
class _Samples:
    """What was made so far, by the name that paths give its id."""

    ids: dict[str, list[str]] = field(default_factory=dict)

    def put(self, application: Application, route: Route, data: Any) -> None:
        """Remember a thing under the parameter that the path of its own resource has."""
        if not isinstance(data, dict) or "id" not in data:
            return
        last = route.path.rsplit("/", 1)[-1]
        for _, other in application.registry.catalog.all(ROUTES):
            own = re.fullmatch(rf"(?:/.*)?/{re.escape(last)}/<(?:\w+:)?(\w+)>", other.path)
            if own and other.method == "GET":
                self.ids.setdefault(own[1], []).append(str(data["id"]))
                return

    def paths(self, path: str) -> list[str]:
        """The path with each of the known ids put in; none where a parameter is unknown."""
        parameter = re.search(r"<(?:\w+:)?(\w+)>", path)
        if parameter is None:
            return [path]
        return [
            filled
            for value in self.ids.get(parameter[1], [])
            for filled in self.paths(path.replace(parameter[0], value, 1))
        ]


def _body_of(route: Route) -> type[BaseModel] | None:
    """The model of a route's body: declared, or by the handler's annotation."""
    if route.body is not None:
        return route.body
    annotation = get_type_hints(route.handler).get("body")
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def filled(model: type[BaseModel] | None, copy: int) -> dict[str, Any]:
    """A body that the model takes: required fields with plausible values, optional ones left out."""
    if model is None:
        return {}
    schema = model.model_json_schema()
    required = schema.get("required", [])
    return {name: _value(name, schema["properties"][name], schema, copy) for name in required}


def _value(name: str, shape: dict[str, Any], schema: dict[str, Any], copy: int) -> Any:
    if "$ref" in shape:
        shape = schema["$defs"][shape["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in shape:
        shape = shape["anyOf"][0]
    if "enum" in shape:
        return shape["enum"][copy % len(shape["enum"])]
    kind = shape.get("type")
    if kind == "string" and "email" in (name, shape.get("format")):
        return f"person{copy}@example.com"
    if kind == "string":
        return WORDS[(copy + len(name)) % len(WORDS)][: shape.get("maxLength", 200)]
    if kind in ("integer", "number"):
        return max(int(shape.get("minimum", 1)), 1) + copy
    return {"boolean": True, "array": [], "object": {}}.get(kind or "")
