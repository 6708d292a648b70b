"""HTTP endpoints for Prometheus scrapes and for a tenant's daily use summary."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import Annotated

from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field

from host.sdk import Permission, RequestFacts, Routes, Row, Stream, actor, measured, settings

from . import service
from .settings import Settings

routes = Routes()

_GZIP = re.compile(r"\s*gzip\s*(?:;\s*q=(?:1(?:\.0*)?|0\.\d*[1-9]\d*)\s*)?", re.IGNORECASE)
"""Where gzip is wanted in Accept-Encoding (RFC 9110, 12.5.3); prometheus-client takes `gzip;q=0` for a wish."""

READ = "metrics.summary.read"
PERMISSIONS = (Permission(READ, "See requests, errors and use of limits by day", ("admin",)),)


class Days(BaseModel, extra="forbid"):
    days: Annotated[int, Field(ge=1, le=90)] = 30


@routes.get("/metrics", public=True, needs_tenant=False, name="scrape.read", returns=Stream, refusals=(401, 403))
async def scrape(request: RequestFacts) -> Stream:
    """What all processes of this machine measure, for Prometheus.

    Prometheus' text format, or OpenMetrics where Accept asks for it.

    For an operator's access token, the scrape token, or the addresses that this deployment binds; 401 for anonymous
    callers, 403 for other people. Every process answers for all processes of its machine, workers included: scrape each
    machine once.
    """
    headers = request.headers
    service.check_scraper(settings(Settings), actor(), headers.get("authorization", ""), request.address)
    metrics, (encode, content_type) = await measured(), choose_encoder(headers.get("accept", ""))
    body = await asyncio.to_thread(encode, metrics)  # takes 100 ms with many operations
    if not any(map(_GZIP.fullmatch, headers.get("accept-encoding", "").split(","))):
        return Stream(body, content_type)
    return Stream(await asyncio.to_thread(gzip.compress, body, 5), content_type, headers={"Content-Encoding": "gzip"})


@routes.get("/metrics/summary", permission=READ, name="summary.read")
async def read_summary(query: Days) -> Row:
    """Requests, errors and use by day.

    Each of the last days (UTC), today first, their total, and the plan's limits with their current use.

    Response times are estimated from histogram buckets, as Prometheus does; they are null for a day without requests.
    """
    return await service.summary(query.days)
