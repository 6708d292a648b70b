"""Create a crowded deployment for benchmarks: dozens of generated plugins and thousands of rows."""

from __future__ import annotations

from pathlib import Path

_MANIFEST = """\
id = "{id}"
name = "Made-up plugin {id}"
version = "0.1.0"
summary = "Nothing but routes."
sdk = ">=0.1,<1"

[requires]
"""

_PLUGIN = """\
from uuid import UUID

from host.sdk import Permission, Routes, hookimpl

routes = Routes()


async def read(thing_id: UUID) -> dict[str, str]:
    return {{"id": str(thing_id)}}


for number in range({routes}):
    routes.get(
        f"/{id}/things{{number}}/<uuid:thing_id>",
        permission="{id}.things.read",
        name=f"things{{number}}.get",
        summary="Read a thing",
    )(read)


@hookimpl
def register_routes():
    return tuple(routes)


@hookimpl
def register_permissions():
    return (Permission("{id}.things.read", "Read things", ("admin", "member", "viewer")),)
"""


def crowd(folder: Path, plugins: int, routes: int) -> str:
    """Write `plugins` packages of `routes` routes each as one installed distribution in `folder`.

    Returns the lines for plugins.toml that load them; `folder` has to be on PYTHONPATH.
    """
    ids = [f"crowd{number:03}" for number in range(plugins)]
    for plugin_id in ids:
        package = folder / f"tenantry_{plugin_id}"
        package.mkdir(parents=True)
        (package / "manifest.toml").write_text(_MANIFEST.format(id=plugin_id))
        (package / "__init__.py").write_text('"""A made-up plugin."""\n')
        (package / "plugin.py").write_text(_PLUGIN.format(id=plugin_id, routes=routes))
    metadata = folder / "tenantry_crowd-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tenantry-crowd\nVersion: 0.1.0\n")
    points = "".join(f"{plugin_id} = tenantry_{plugin_id}\n" for plugin_id in ids)
    (metadata / "entry_points.txt").write_text(f"[tenantry.plugins]\n{points}")
    return "".join(f'\n[{plugin_id}]\ndefault = "on"\npackage = "tenantry-crowd"\n' for plugin_id in ids)


TASKS = """
    INSERT INTO projects_tasks (id, tenant_id, project_id, title, description, status, priority, tags,
                                version, created_at, updated_at)
    SELECT gen_random_uuid(), tenant_id, id, 'Task ' || number, '', 'todo', 1 + number % 4, '["bench"]', 1,
           now() - number * interval '1 second', now()
    FROM projects_projects, generate_series(1, $1) AS number WHERE tenant_id = ANY($2)
"""
"""Parameters: how many tasks in each project, tenant ids."""

TENANTS = """
    INSERT INTO tenants (id, slug, name, status, status_reason, plan, version, created_at, updated_at)
    SELECT gen_random_uuid(), 'crowd-' || number, 'Crowd ' || number, 'active', '', 'free', 1, now(), now()
    FROM generate_series(1, $1) AS number RETURNING id
"""
"""Parameter: how many."""

ROLES = """
    INSERT INTO roles (id, tenant_id, name, title, permissions, all_permission, built_in, version, created_at,
                       updated_at)
    SELECT gen_random_uuid(), tenant, role.name, role.title, role.permissions, role.all_permission, true, 1, now(),
           now()
    FROM unnest($1::uuid[]) AS tenant, roles AS role WHERE role.tenant_id = $2
"""
"""Parameters: tenant ids, the tenant whose roles they copy."""

MEMBERSHIPS = """
    INSERT INTO memberships (id, tenant_id, user_id, role_id, version, created_at)
    SELECT gen_random_uuid(), tenant_id, $2, id, 1, now() FROM roles WHERE name = 'owner' AND tenant_id = ANY($1)
"""
"""Parameters: tenant ids, the user who owns them all."""

PROJECTS = """
    INSERT INTO projects_projects (id, tenant_id, name, slug, description, status, version, created_at, updated_at)
    SELECT gen_random_uuid(), tenant, 'Project', 'project', '', 'active', 1, now(), now()
    FROM unnest($1::uuid[]) AS tenant
"""
"""Parameter: tenant ids."""
