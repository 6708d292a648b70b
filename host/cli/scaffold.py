"""Write the files of a new plugin for `tenantry plugin new`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from host.cli import model_writer
from host.cli.model_writer import Draft
from host.cli.terminal import Complaint
from host.registry.discovery import available
from host.registry.manifest import SDK_VERSION, plugin_id

MANIFEST = """id = "$id"
name = "$title"
version = "0.1.0"
summary = "$summary"
sdk = ">=$sdk,<1"

[requires]
"""

SMALL_PLUGIN = '''"""The $id plugin: its hook implementations and its one route."""

from __future__ import annotations

from collections.abc import Sequence

from host.sdk import Permission, Route, Routes, hookimpl, tenant

routes = Routes()
READ = Permission("$id.hello.read", "See the greeting", roles=("admin", "member", "viewer"))


@routes.get("/$id/hello", permission=READ, name="hello.read")
async def hello() -> dict[str, str]:
    """Greet the organisation."""
    return {"greeting": f"Hello, {(await tenant()).name}!"}


@hookimpl
def register_routes() -> Sequence[Route]:
    return routes
'''

MODEL_PLUGIN = '''"""The hook implementations of the $id plugin."""

from __future__ import annotations

from collections.abc import Sequence

from host.sdk import Route, TenantModel, hookimpl

from . import models, routes


@hookimpl
def register_routes() -> Sequence[Route]:
    return routes.routes


@hookimpl
def register_models() -> Sequence[type[TenantModel]]:
    return (models.Note,)
'''

IMPORTED_PLUGIN = '''"""The hook implementations of the $id plugin."""

from __future__ import annotations

from collections.abc import Sequence

from host.sdk import TenantModel, hookimpl

from . import models


@hookimpl
def register_models() -> Sequence[type[TenantModel]]:
    return ($models)
'''

MODELS = '''"""The table of notes."""

from __future__ import annotations

from tortoise import fields

from host.sdk import TenantModel


class Note(TenantModel):
    """A line of text; TenantModel limits every query to the current organisation."""

    text = fields.CharField(max_length=500)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "${id}_notes"
'''

SERVICE = '''"""Create and read notes; each function that changes something is one unit of work."""

from __future__ import annotations

from host.sdk import Records, Row, unit_of_work

from .models import Note

NOTES = Records(Note, sorts=("created_at",), search=("text",))


async def create_note(text: str) -> Row:
    """Write a note down."""
    async with unit_of_work() as work:
        row = await NOTES.insert(text=text)
        work.record("$id.notes.create", "note", str(row["id"]), after=row)
    return row
'''

ROUTES = '''"""The endpoints of notes: each parses its input, calls the service and shapes the answer."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from host.sdk import Created, Page, Permission, Query, Routes, Row

from . import service
from .service import NOTES

routes = Routes()
READ = Permission("$id.notes.read", "Read notes", roles=("admin", "member", "viewer"))
CREATE = Permission("$id.notes.create", "Write notes", roles=("admin", "member"))


class NewNote(BaseModel):
    """What a new note needs."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=500)


@routes.get("/$id/notes", permission=READ, name="notes.list", listing=NOTES)
async def list_notes(query: Query) -> Page:
    """List notes."""
    return await NOTES.page(query)


@routes.post("/$id/notes", permission=CREATE, name="notes.create", returns=NOTES)
async def create_note(body: NewNote) -> Created:
    """Write a note."""
    note = await service.create_note(body.text)
    return Created(note, f"/$id/notes/{note['id']}")


@routes.get("/$id/notes/<uuid:note_id>", permission=READ, name="notes.get", returns=NOTES)
async def get_note(note_id: UUID) -> Row:
    """Read a note."""
    return await NOTES.get(note_id)
'''

TEST = '''"""HTTP tests of the $id plugin's routes."""

from __future__ import annotations

import pytest

from host.testing import TwoTenants

pytestmark = pytest.mark.asyncio


async def test_${id}_when_asked_by_a_member_then_answers(two_tenants: TwoTenants) -> None:
    assert await two_tenants.acme_member.ask("GET", "/$path") is not None


async def test_${id}_when_asked_without_signing_in_then_refuses(two_tenants: TwoTenants) -> None:
    refusal = await two_tenants.anonymous.ask("GET", "/$path", status=401)
    assert refusal["code"] == "UNAUTHENTICATED"
'''


@dataclass(frozen=True, slots=True)
class Sketch:
    """The plugin to be written. `model`: with a table, a service and routes over it. `test`: with a test.

    tables: drawn from an existing database, which take the place of routes.
    """

    id: str
    title: str
    summary: str
    model: bool = False
    test: bool = False
    tables: Sequence[Draft] = ()


def refuse_taken(sketch: Sketch, root: Path) -> None:
    """Check the plugin's id.

    Raises:
        Complaint: the id cannot be a plugin's, or is taken.
    """
    try:
        plugin_id(sketch.id)
    except ValueError as wrong:
        raise Complaint(str(wrong), "take another id: it names URLs, tables, permissions and settings") from None
    if (root / "plugins" / sketch.id).exists() or sketch.id in available():
        raise Complaint(f"there is a plugin {sketch.id!r} already", "take another id, or delete its folder first")


def draw(sketch: Sketch, root: Path) -> Mapping[Path, str]:
    """The files and what goes into them; nothing is written.

    Raises:
        Complaint: the id cannot be a plugin's, or is taken.
    """
    refuse_taken(sketch, root)
    folder = root / "plugins" / sketch.id
    words = {
        "id": sketch.id,
        "title": _quoted(sketch.title),
        "summary": _quoted(sketch.summary),
        "sdk": ".".join(SDK_VERSION.split(".")[:2]),
        "models": _listed([f"models.{table.name}" for table in sketch.tables]),
        "path": f"{sketch.id}/{'notes' if sketch.model else 'hello'}",
    }
    files = {folder / "manifest.toml": MANIFEST, folder / "__init__.py": '"""$title: $summary"""\n'}
    if sketch.tables:
        files |= {
            folder / "plugin.py": IMPORTED_PLUGIN,
            folder / "models.py": model_writer.module(sketch.tables, sketch.id).replace("$", "$$"),
        }
    elif sketch.model:
        files |= {
            folder / "plugin.py": MODEL_PLUGIN,
            folder / "models.py": MODELS,
            folder / "service.py": SERVICE,
            folder / "routes.py": ROUTES,
        }
    else:
        files[folder / "plugin.py"] = SMALL_PLUGIN
    if sketch.test:
        files[root / "tests" / "plugins" / sketch.id / f"test_{sketch.id}.py"] = TEST
    return {file: Template(text).substitute(words) for file, text in files.items()}


def write(files: Mapping[Path, str]) -> None:
    """Write the files, their folders first."""
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


def _quoted(text: str) -> str:
    return " ".join(text.split()).replace("\\", "").replace('"', "'")


def _listed(names: Sequence[str]) -> str:
    """What is between a tuple's brackets, on one line where that is not too long."""
    line = ", ".join(names) + ("," if len(names) == 1 else "")
    return line if len(line) < 105 else "".join(f"\n        {name}," for name in names) + "\n    "
