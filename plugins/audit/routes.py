"""The HTTP resources of the audit log; all of them only read."""

from __future__ import annotations

from uuid import UUID

from host.sdk import Page, Permission, Query, Routes, Row

from .service import ENTRIES

routes = Routes()

READ = "audit.entries.read"
PERMISSIONS = (Permission(READ, "Read who did what in this organisation", ("admin",)),)


@routes.get(
    "/audit/entries",
    permission=READ,
    name="entries.list",
    summary="List what was done, the newest first",
    listing=ENTRIES,
    returns=ENTRIES,
)
async def list_entries(query: Query) -> Page:
    return await ENTRIES.page(query)


@routes.get(
    "/audit/entries/<uuid:entry_id>",
    permission=READ,
    name="entries.get",
    summary="Read one entry",
    returns=ENTRIES,
)
async def get_entry(entry_id: UUID) -> Row:
    return await ENTRIES.get(entry_id)


@routes.get(
    "/audit/resources/<resource_type>/<resource_id>",
    permission=READ,
    name="resources.list",
    summary="List what was done to one resource, the newest first",
    listing=ENTRIES,
    returns=ENTRIES,
)
async def list_resource_entries(resource_type: str, resource_id: str, query: Query) -> Page:
    return await ENTRIES.page(query, resource_type=resource_type, resource_id=resource_id)
