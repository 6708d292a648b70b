"""The HTTP resources of this plugin: one for scrapers, one for an organisation's administrators."""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import BaseModel, Field

from host.sdk import Permission, RequestFacts, Routes, Row, Stream, actor, measured, settings

from . import service
from .settings import Settings

routes = Routes()

READ = "metrics.summary.read"
PERMISSIONS = (Permission(READ, "See requests, errors and use of limits by day", ("admin",)),)


class Days(BaseModel, extra="forbid"):
    days: Annotated[int, Field(ge=1, le=90)] = 30


@routes.get(
    "/metrics",
    public=True,  # who may is decided below: a scraper is no person, and has no session
    needs_tenant=False,
    name="scrape.read",
    summary="What the whole deployment measures, for Prometheus",
    returns=Stream,
    refusals=(401, 403),
)
async def scrape(request: RequestFacts) -> Stream:
    """Prometheus' text format, or OpenMetrics where Accept asks for it.

    For an operator's access token, the scrape token, or the addresses that this deployment binds; 401 for anonymous
    callers,
    403 for other people. Every process answers with the sums of the whole deployment: scrape one address, not each
    process.
    """
    from .exposition import exposition  # 100 ms that only a process that is scraped has to spend

    headers = request.headers
    service.check_scraper(settings(Settings), actor(), headers.get("authorization", ""), request.address)
    found, accepted = await measured(), (headers.get("accept", ""), headers.get("accept-encoding", ""))
    return await asyncio.to_thread(exposition, found, *accepted)  # a tenth of a second where there are many operations


@routes.get("/metrics/summary", permission=READ, name="summary.read", summary="Requests, errors and use by day")
async def read_summary(query: Days) -> Row:
    """Each of the last days (UTC), today first, all of them together, and the plan's limits with what is used now.

    Times are estimated from buckets, as Prometheus does; they are null for a day without requests.
    """
    return await service.summary(query.days)
