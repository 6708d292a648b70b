"""Declare the host's own metrics and read its gauges: requests, database, jobs, users and tenants."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from host.contracts import Metric, Readings
from host.data.postgres_pool import PostgresClient
from host.errors import Unavailable
from host.instruments import TENANT_REQUESTS, meter
from host.provisioning import provisioning
from host.services import services
from host.web.server.request_metrics import UNMATCHED

_SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Histogram buckets in seconds, for one step of a request."""

_LONG = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Histogram buckets in seconds, for jobs."""

_ACTIVE = timedelta(hours=24)


async def requests_in_progress() -> Readings:
    """Requests being answered by this process, by operation."""
    bound = meter()
    by_operation = Counter(each.operation or UNMATCHED for each in bound.ongoing) if bound is not None else {}
    return [((operation,), number) for operation, number in by_operation.items()] or [((UNMATCHED,), 0)]


async def open_streams() -> Readings:
    """The WebSockets and streams of server-sent events that this process has open."""
    return [((), len(services().open_streams))]


async def processes() -> Readings:
    """The number 1 for this process; the sum is the number of processes."""
    return [((), 1)]


async def quarantined() -> Readings:
    """1 for each plugin that is in quarantine in this process, else 0."""
    registry = provisioning().registry
    return [((plugin,), float(plugin in registry.quarantine)) for plugin in registry.ids]


async def pool() -> Readings:
    """Database connections of this process, in use and idle. SQLite has one, in use while it is locked."""
    client = services().database.client
    if isinstance(client, PostgresClient):
        size, idle = client.connections()
        return [(("in_use",), size - idle), (("idle",), idle)]
    busy = float(client._lock.locked())
    return [(("in_use",), busy), (("idle",), 1 - busy)]


async def pool_size() -> Readings:
    """How many connections this process may have."""
    database = services().database
    return [((), database.pool if database.dialect == "postgres" else 1)]


async def database_up() -> Readings:
    """1 if the database answers, else 0."""
    try:
        await services().database.ping()
    except Unavailable:
        return [((), 0)]
    return [((), 1)]


async def jobs() -> Readings:
    """The number of open and failed jobs by task and state."""
    rows = await services().job_store.census()
    return [((row.task, row.state), row.number) for row in rows]


async def oldest_jobs() -> Readings:
    """Seconds for which the oldest waiting job of each task has been due."""
    now = datetime.now(UTC)
    due = [row for row in await services().job_store.census() if row.state == "queued"]
    return [((row.task,), max(0.0, (now - row.oldest).total_seconds())) for row in due]


async def users() -> Readings:
    """The number of accounts that are not disabled."""
    return [((), await _number("SELECT count(*) AS number FROM users WHERE disabled_at IS NULL"))]


async def active_users() -> Readings:
    """The number of users who signed in, or renewed their session, within 24 hours."""
    since = datetime.now(UTC) - _ACTIVE
    sql = "SELECT count(DISTINCT user_id) AS number FROM sessions WHERE last_used_at > $1"
    return [((), await _number(sql, since))]


async def tenants() -> Readings:
    """The number of tenants by plan and status; 0 for a plan without active ones."""
    rows = await services().database.fetch("SELECT plan, status, count(*) AS number FROM tenants GROUP BY plan, status")
    counts = {(str(row["plan"]), str(row["status"])): float(row["number"]) for row in rows}
    return list(({(plan, "active"): 0.0 for plan in services().plans.ids} | counts).items())


async def _number(sql: str, *values: object) -> float:
    [row] = await services().database.fetch(sql, *values)
    return float(row["number"])


METRICS = (
    Metric(
        "tenantry_http_requests_total",
        "counter",
        "Requests answered",
        ("operation", "method", "status", "plugin"),
        most=5000,
    ),
    Metric(
        "tenantry_http_request_duration_seconds",
        "histogram",
        "Time to the last byte of an answer",
        ("operation",),
        most=1000,
    ),
    Metric(
        "tenantry_http_requests_in_progress",
        "gauge",
        "Requests being answered",
        ("operation",),
        requests_in_progress,
        each_process=True,
    ),
    Metric("tenantry_http_errors_total", "counter", "Errors answered, by their code", ("code", "plugin")),
    Metric(TENANT_REQUESTS, "counter", "Requests of the most active organisations", ("tenant", "outcome"), most=5000),
    Metric("tenantry_open_streams", "gauge", "Open WebSockets and event streams", (), open_streams, each_process=True),
    Metric("tenantry_sign_ins_total", "counter", "Attempts to sign in", ("method", "outcome")),
    Metric("tenantry_rate_refusals_total", "counter", "Refused because a rate was used up", ("limit",)),
    Metric("tenantry_quota_refusals_total", "counter", "Refused because a quota was used up", ("limit",)),
    Metric(
        "tenantry_database_duration_seconds",
        "histogram",
        "Time of database statements",
        ("plugin",),
        buckets=_SHORT,
    ),
    Metric(
        "tenantry_database_pool_wait_seconds",
        "histogram",
        "Time waited for a database connection",
        buckets=_SHORT,
    ),
    Metric(
        "tenantry_database_connections",
        "gauge",
        "Open database connections",
        ("state",),
        pool,
        each_process=True,
    ),
    Metric(
        "tenantry_database_pool_size",
        "gauge",
        "Database connections that may be opened",
        (),
        pool_size,
        each_process=True,
    ),
    Metric("tenantry_database_up", "gauge", "Whether the database answers", (), database_up),
    Metric("tenantry_redis_duration_seconds", "histogram", "Time of Redis commands", ("command",), buckets=_SHORT),
    Metric("tenantry_redis_errors_total", "counter", "Redis commands that failed", ("kind",)),
    Metric("tenantry_jobs", "gauge", "Jobs on record, but for those that ended well", ("task", "state"), jobs),
    Metric(
        "tenantry_jobs_oldest_seconds",
        "gauge",
        "How long the longest waiting job has been due",
        ("task",),
        oldest_jobs,
    ),
    Metric("tenantry_job_runs_total", "counter", "Runs of jobs by how they ended", ("task", "outcome")),
    Metric("tenantry_job_duration_seconds", "histogram", "Time of one run of a job", ("task",), buckets=_LONG),
    Metric("tenantry_events_announced_total", "counter", "Events announced", ("event",)),
    Metric("tenantry_events_delivered_total", "counter", "Events heard by a listener", ("event", "plugin")),
    Metric("tenantry_hook_duration_seconds", "histogram", "Time in plugins' hooks", ("plugin", "hook"), buckets=_SHORT),
    Metric("tenantry_hook_failures_total", "counter", "Hooks that failed or hung", ("plugin", "hook")),
    Metric(
        "tenantry_plugins_quarantined",
        "gauge",
        "In how many processes a plugin is in quarantine",
        ("plugin",),
        quarantined,
        each_process=True,
    ),
    Metric("tenantry_processes", "gauge", "Processes that are running", (), processes, each_process=True),
    Metric("tenantry_users", "gauge", "People with an account", (), users, keep=60.0),
    Metric("tenantry_users_active", "gauge", "People who were here within 24 hours", (), active_users, keep=60.0),
    Metric("tenantry_tenants", "gauge", "Organisations", ("plan", "status"), tenants),
)
