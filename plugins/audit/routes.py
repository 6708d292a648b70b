"""HTTP endpoints of the audit log: list, report, export, verify and erase."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from host.sdk import (
    Accepted,
    Instant,
    NotFound,
    Page,
    Permission,
    Query,
    RequestFacts,
    Routes,
    Row,
    Stream,
    Time,
    ValidationFailed,
    in_system_tenant,
    operator_access,
    tenant,
    unit_of_work,
)

from . import checkpoints, report_page
from .checkpoints import Head
from .export import Format, export
from .report import report
from .service import ENTRIES, find
from .signing import chain_key
from .verification import verify

routes = Routes()

READ, EXPORT, ERASE = "audit.entries.read", "audit.entries.export", "audit.entries.erase"
PERMISSIONS = (
    Permission(READ, "Read who did what in this organisation, and verify that the log is whole", ("admin",)),
    Permission(EXPORT, "Take the audit log away as a file", ("admin",)),
    Permission(ERASE, "Erase a person's data from the audit log", ()),
)
VERIFY_SECONDS = 40.0  # per request; a longer chain is verified over several requests
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class ReportQuery(BaseModel):
    """The period and the format; without a format, the Accept header decides."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)
    since: Time | None = Field(None, alias="from")
    until: Time | None = Field(None, alias="to")
    format: Literal["json", "html"] | None = None


class ExportQuery(BaseModel):
    """The file format; the other parameters are those of the list."""

    model_config = ConfigDict(extra="forbid")
    format: Format = "csv"
    bom: bool = Field(False, description="Begin a CSV with a byte-order mark, so that Excel reads it as UTF-8.")


class VerifyQuery(BaseModel):
    """The position to continue after: `go_on_after` of the previous answer."""

    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, lt=2**63)] = 0


class CheckpointGiven(BaseModel):
    """A checkpoint as `GET /audit/checkpoint` returned it."""

    model_config = ConfigDict(extra="forbid")
    position: Annotated[int, Field(ge=0, lt=2**63)]
    hash: Annotated[str, StringConstraints(max_length=64)]
    pruned_position: Annotated[int, Field(ge=0, lt=2**63)]
    pruned_hash: Annotated[str, StringConstraints(max_length=64)]
    sealed_at: Instant
    signature: Annotated[str, StringConstraints(max_length=64)]


class Erasure(BaseModel):
    """Whose data, and why; the reason stays in the log."""

    model_config = ConfigDict(extra="forbid")
    user_id: Annotated[UUID, Field(strict=False)]
    reason: Reason


class OperatorQuery(BaseModel):
    """The organisation whose log an operator reads, and the reason; without one, the host's own log."""

    model_config = ConfigDict(extra="forbid")
    tenant: str | None = None
    reason: Reason | None = None


# -- reading ---------------------------------------------------------------------------------------------


@routes.get("/audit/entries", permission=READ, name="entries.list", listing=ENTRIES)
async def list_entries(query: Query) -> Page:
    """List what was done, the newest first."""
    return await find(query)


@routes.get("/audit/entries/<uuid:entry_id>", permission=READ, name="entries.get", returns=ENTRIES)
async def get_entry(entry_id: UUID) -> Row:
    """Read one entry."""
    return await ENTRIES.get(entry_id)


@routes.get("/audit/resources/<resource_type>/<resource_id>", permission=READ, name="resources.list", listing=ENTRIES)
async def list_resource_entries(resource_type: str, resource_id: str, query: Query) -> Page:
    """List what was done to one resource, the newest first."""
    return await find(query, resource_type=resource_type, resource_id=resource_id)


@routes.get("/audit/report", permission=READ, name="report.read", returns=Stream)
async def read_report(query: ReportQuery, request: RequestFacts) -> dict[str, Any] | Stream:
    """Who did how much of what, and what an auditor asks for first; as JSON or as a page to print."""
    content = await report(query.since, query.until)
    wanted = query.format or ("html" if "text/html" in request.headers.get("accept", "") else "json")
    return content if wanted == "json" else report_page.page(content, (await tenant()).name)


@routes.get("/audit/export", permission=EXPORT, effects=True, name="entries.export", listing=ENTRIES, returns=Stream)
async def export_entries(query: ExportQuery, filters: Query) -> Stream:
    """All entries that fit the filters as CSV or JSON lines."""
    if filters.cursor is not None:
        raise ValidationFailed(details={"cursor": "An export has no pages: it begins with the newest entry."})
    return await export(filters, query.format, f"audit-{(await tenant()).slug}", query.bom)


# -- verifying -------------------------------------------------------------------------------------------


@routes.get("/audit/verify", permission=READ, name="chain.verify")
async def verify_chain(query: VerifyQuery) -> dict[str, Any]:
    """Read the whole log again and name the first entry that is not as it was sealed."""
    return await _verified(query.after)


@routes.post("/audit/verify", permission=READ, name="chain.verify_against", status=200)
async def verify_chain_against(body: CheckpointGiven) -> dict[str, Any]:
    """The same against a checkpoint that was kept elsewhere."""
    return await _verified(0, checkpoints.read(body.model_dump()))


@routes.get("/audit/checkpoint", permission=READ, name="checkpoint.read")
async def read_checkpoint() -> dict[str, Any]:
    """The signed head of the log's chain, to be kept elsewhere."""
    head = await checkpoints.stored()
    if head is None or not head.is_genuine(chain_key()):
        raise NotFound("Nothing was sealed yet.")
    return checkpoints.shown(head)


async def _verified(after: int, *outside: Head) -> dict[str, Any]:
    verdict = await verify(outside=outside, after=after, seconds=VERIFY_SECONDS)
    return {"ok": verdict.ok, "complete": verdict.go_on_after is None, **asdict(verdict)}


# -- erasing ---------------------------------------------------------------------------------------------


@routes.post("/audit/erasures", permission=ERASE, name="erasures.create")
async def create_erasure(body: Erasure) -> Accepted:
    """Erase a person's data from the log; that something was done stays, and so does the proof."""
    return await _erasure(body)


@routes.post("/operator/audit/erasures", operator=True, needs_tenant=False, name="operator.erasures.create")
async def create_system_erasure(body: Erasure) -> Accepted:
    """Erase a person's data from the log of what belongs to no organisation, such as sign-ins."""
    return await _erasure(body)


async def _erasure(body: Erasure) -> Accepted:
    async with unit_of_work() as work:
        work.record("audit.erasures.create", "user", body.user_id, after={"reason": body.reason})
        job = await work.enqueue("audit.erase", user_id=str(body.user_id))
    return Accepted({"user_id": body.user_id, "job_id": job})


# -- operators -------------------------------------------------------------------------------------------


@routes.get(
    "/operator/audit", operator=True, needs_tenant=False, effects=True, name="operator.entries.list", listing=ENTRIES
)
async def list_for_operator(query: OperatorQuery, filters: Query) -> Page:
    """An organisation's log, with a reason that it sees; or the log of what belongs to none."""
    if query.tenant is None:
        with in_system_tenant():
            return await find(filters)
    if query.reason is None:
        raise ValidationFailed(details={"reason": "Say why: the organisation sees it in its own log."})
    async with operator_access(query.tenant, query.reason):
        return await find(filters)
