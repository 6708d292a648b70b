"""HTTP endpoints for Prometheus scrapes and for a tenant's daily use summary."""

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


@routes.get("/metrics", public=True, needs_tenant=False, name="scrape.read", returns=Stream, refusals=(401, 403))
async def scrape(request: RequestFacts) -> Stream:
    """What the whole deployment measures, for Prometheus.

    Prometheus' text format, or OpenMetrics where Accept asks for it.

    For an operator's access token, the scrape token, or the addresses that this deployment binds; 401 for anonymous
    callers, 403 for other people. Every process answers with the sums of the whole deployment: scrape one address, not
    each process.
    """
    from .exposition import exposition  # takes 100 ms, so only a process that is scraped imports it

    headers = request.headers
    service.check_scraper(settings(Settings), actor(), headers.get("authorization", ""), request.address)
    metrics, accepted = await measured(), (headers.get("accept", ""), headers.get("accept-encoding", ""))
    return await asyncio.to_thread(exposition, metrics, *accepted)  # takes 100 ms with many operations


@routes.get("/metrics/summary", permission=READ, name="summary.read")
async def read_summary(query: Days) -> Row:
    """Requests, errors and use by day.

    Each of the last days (UTC), today first, their total, and the plan's limits with their current use.

    Response times are estimated from histogram buckets, as Prometheus does; they are null for a day without requests.
    """
    return await service.summary(query.days)
