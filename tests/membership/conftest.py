"""A third-party plugin whose crews give their people principals and permissions."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from host.contracts import Event
from host.settings import Settings
from host.testing import TestApplication, TwoTenants
from tests.conftest import listening

CREWS = """
from uuid import UUID
from pydantic import BaseModel
from host.sdk import Decision, Grant, Permission, Routes, Row, hookimpl, invite, level, principals

CREWS = {}  # user id -> names of crews
GRANTS = {}  # name of a crew -> permissions
REFUSED = set()  # user ids
BROKEN = set()  # names of hooks that raise
routes = Routes()

@routes.get("/crews/me", name="me.read", summary="What I stand for", signed_in=True)
async def read_me() -> Row:
    shares = [("crew:blue", "write"), ("org", "read"), ("crew:red", "manage")]
    return {"principals": sorted(principals()), "level": level(shares)}

class Guest(BaseModel):
    address: str
    role_id: UUID

@routes.post("/crews/invitations", name="invitations.create", summary="Invite", signed_in=True)
async def create_invitation(body: Guest) -> Row:
    row, token = await invite(body.address, body.role_id)
    return {"id": row["id"], "token": token}

@routes.get("/crews/shut", name="shut.read", summary="Guarded", permission="crews.shut.read")
async def read_shut() -> Row:
    return {}

def asked(hook, answer):
    if hook in BROKEN:
        raise RuntimeError("the crews are away")
    return answer

@hookimpl
def register_routes():
    return tuple(routes)

@hookimpl
def register_permissions():
    return (Permission("crews.shut.read", "See what is shut", roles=()),)

@hookimpl
async def contribute_principals(user_id):
    return asked("contribute_principals", [f"crew:{name}" for name in CREWS.get(user_id, ())])

@hookimpl
async def contribute_grants(user_id):
    names = CREWS.get(user_id, ())
    return asked("contribute_grants", [Grant(f"The crew {name}", GRANTS.get(name, frozenset())) for name in names])

@hookimpl
async def resolve_principals(principals):
    people = [user for user, names in CREWS.items() if {f"crew:{name}" for name in names} & principals]
    return asked("resolve_principals", people)

@hookimpl
async def describe_principals(principals):
    return {each: each.partition(":")[2].title() for each in principals if each.startswith("crew:")}

@hookimpl
async def authorize(actor, permission, resource):
    return Decision(False, "crews say no") if actor.user_id in REFUSED and permission == "crews.shut.read" else None
"""
MANIFEST = """
id = "crews"
name = "Crews"
version = "1.0.0"
summary = "Made up by a test."
sdk = ">=0.1,<1"

[requires]
"""


@pytest.fixture
def crew_settings(app_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a deployment that loads `projects` and the crews, as an installer would leave them."""
    package, info = tmp_path / "tenantry_crews", tmp_path / "tenantry_crews-1.0.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text('"""Crews."""\n')
    (package / "plugin.py").write_text(CREWS)
    (package / "manifest.toml").write_text(MANIFEST)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tenantry-crews\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text("[tenantry.plugins]\ncrews = tenantry_crews\n")
    (tmp_path / "plugins.toml").write_text(
        '[projects]\ndefault = "on"\n[crews]\ndefault = "on"\npackage = "tenantry-crews"\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "tenantry_crews"]:
        del sys.modules[name]
    (tmp_path / "config").symlink_to(app_settings.root / "config")
    return app_settings.model_copy(update={"root": tmp_path})


@pytest.fixture
async def crewed(crew_settings: Settings) -> AsyncIterator[TwoTenants]:
    """Two tenants, in an application that loads the crews."""
    async with TestApplication.open(crew_settings) as application, TwoTenants.create(application) as both:
        yield both


@pytest.fixture
def crews(crewed: TwoTenants) -> ModuleType:
    """The plugin's module, whose tables a test fills."""
    return importlib.import_module("tenantry_crews.plugin")


@pytest.fixture
def heard_by_crews(crewed: TwoTenants) -> Iterator[list[Event]]:
    """The events that were announced in the application that loads the crews."""
    with listening(crewed.application) as events:
        yield events
