"""`tenantry doctor`: check every part of the deployment, and say what is wrong and how to fix it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import click

from host.app import Application
from host.cli.command import as_complaint, asynchronous, sentences
from host.cli.open_application import read_settings
from host.cli.terminal import Terminal
from host.data import rls
from host.errors import ConfigurationError
from host.execution_context import as_plugin
from host.jobs.job_store import WAITING
from host.jobs.models import Job, JobState
from host.registry.kinds import HEALTH_CHECKS
from tenants.models import User

SPACE = 200 * 1024**2  # bytes free below which the data folder is called full
PATIENCE = timedelta(minutes=2)  # how long a job may be due before somebody should ask where the workers are
CHECK_SECONDS = 10.0
Finding = dict[str, str]
Look = Callable[[Application], Awaitable[list[Finding]]]


@click.command()
@asynchronous
async def doctor(terminal: Terminal) -> None:
    """Look at every part and say what is wrong and how to mend it."""
    findings: list[Finding] = []
    looked = ["configuration"]
    try:
        settings = read_settings()
        application = Application.build(settings)
    except Exception as error:
        findings += _of_error("configuration", error)
        return terminal.verdict(findings, {"looked_at": looked}, "")
    with terminal.progress("looking", len(LOOKS)) as advance:
        for number, (part, look) in enumerate(LOOKS.items(), 1):
            if part in BEHIND_DATABASE and any(finding["part"] == "database" for finding in findings):
                continue  # it could only say the same once more
            looked.append(part)
            try:
                findings += await look(application)
            except Exception as error:
                findings += _of_error(part, error)
            advance(number)
    await _close(application)
    terminal.verdict(findings, {"looked_at": looked}, f"All is well: {', '.join(looked)}.")


async def _data_folder(application: Application) -> list[Finding]:
    folder = application.settings.data.dir
    folder.mkdir(parents=True, exist_ok=True)
    fix = "make it writable for this login, or name another with TENANTRY_DATA__DIR"
    if not os.access(folder, os.W_OK | os.X_OK):
        return [_finding("data folder", f"{folder} cannot be written", fix)]
    free = shutil.disk_usage(folder).free
    if free < SPACE:
        return [_finding("data folder", f"{folder} has {free // 1024**2} MB left", "free some space, or move it")]
    return []


async def _database(application: Application) -> list[Finding]:
    database = application.services.database
    await database.open()
    await database.ping()
    pending = await application.migrations.pending()
    if pending:
        steps = ", ".join(str(step) for step in pending[:5])
        return [_finding("database", f"{len(pending)} migrations are pending ({steps})", "`tenantry migrate`")]
    drifted = [_finding("database", *sentence.rsplit(": ", 1)) for sentence in await application.migrations.unmade()]
    mend, by_hand = "`tenantry migrate` restores tenant isolation in the database", "this is for a person to decide"
    gaps = await rls.findings(database)
    return drifted + [_finding("database", gap.complaint, mend if gap.remedy else by_hand) for gap in gaps]


async def _redis(application: Application) -> list[Finding]:
    if application.redis is not None:
        await application.redis.start()
    await application.services.redis_client.ping()
    return []


async def _storage(application: Application) -> list[Finding]:
    await application.services.storage.ping()
    return []


async def _plugins(application: Application) -> list[Finding]:
    fix = "correct the cause and restart; `tenantry plugin check` shows more"
    return [
        _finding("plugins", f"{held.plugin} is in quarantine: {held.reason}", fix)
        for held in application.registry.quarantine
    ]


async def _checks(application: Application) -> list[Finding]:
    """The plugins' own health checks, as /ready lists them; the thorough check where there is one."""
    findings = []
    for plugin, check in application.registry.catalog.all(HEALTH_CHECKS):
        with application.bound(), as_plugin(plugin):
            try:
                wrong = await asyncio.wait_for((check.thorough or check.check)(), CHECK_SECONDS)
            except TimeoutError:
                wrong = f"no answer within {CHECK_SECONDS:g} seconds"
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}".rstrip(": ")
        if wrong:
            findings.append(
                _finding(f"{plugin}.{check.name}", wrong, f"correct the settings of {plugin}, or what they name")
            )
    return findings


async def _operator(application: Application) -> list[Finding]:
    with application.bound():
        if await User.filter(is_operator=True).exists():
            return []
    fix = (
        "`tenantry serve` makes one at its first start, or set TENANTRY_OPERATOR__EMAIL and TENANTRY_OPERATOR__PASSWORD"
    )
    return [_finding("operator", "nobody may operate this deployment", fix)]


async def _jobs(application: Application) -> list[Finding]:
    now, findings = datetime.now(UTC), []
    with application.bound():
        late = await Job.filter(state__in=WAITING, run_at__lt=now - PATIENCE).count()
        failed = await Job.filter(state=JobState.FAILED).count()
    if late:
        fix = "start `tenantry worker`, or more of them; `tenantry jobs list --state queued` shows what waits"
        findings.append(_finding("jobs", f"{late} jobs have been due for more than two minutes", fix))
    if failed:
        fix = "`tenantry jobs list --state failed` says why; `tenantry jobs retry --all-failed` tries again"
        findings.append(_finding("jobs", f"{failed} jobs failed", fix))
    return findings


async def _production(application: Application) -> list[Finding]:
    settings = application.settings
    if not settings.app.production:
        return []
    wrong = []
    if not settings.database.url:
        wrong.append(("the database is the embedded one", "set DATABASE_URL to a PostgreSQL server"))
    if not settings.redis.url:
        wrong.append(("Redis is the embedded one", "set REDIS_URL"))
    if not settings.app.public_url.startswith("https://"):
        wrong.append(("links and cookies are not for https", "set TENANTRY_APP__PUBLIC_URL to https://…"))
    wrong += [
        (complaint, "production does not start with it") for complaint in application.registry.unfit_for_production()
    ]
    findings = [_finding("production", complaint, fix) for complaint, fix in wrong]
    if settings.database.url and application.services.database.one_login:
        complaint = "one login owns the tables and serves: whoever gets hold of it can bypass row-level security"
        fix = "give two logins: DATABASE_URL for serving, TENANTRY_DATABASE__OWNER_URL for migrating"
        findings.append({**_finding("production", complaint, fix), "level": "warning"})
    return findings


LOOKS: dict[str, Look] = {
    "data folder": _data_folder,
    "database": _database,
    "Redis": _redis,
    "storage": _storage,
    "plugins": _plugins,
    "checks of plugins": _checks,
    "operator": _operator,
    "jobs": _jobs,
    "production": _production,
}


BEHIND_DATABASE = ("operator", "jobs")


async def _close(application: Application) -> None:
    await application.services.redis_client.close()
    await application.wakeups.close()
    await application.services.database.close()
    await application.services.storage.close()
    if application.redis is not None:
        await application.redis.stop()


REMEDIES = {
    "database": "start the server that database.url (DATABASE_URL) names, or unset it for the embedded one",
    "Redis": "start the server that redis.url (REDIS_URL) names, or unset it for the embedded one",
    "storage": "check [storage] in config/settings.toml and the two keys in the environment",
}


def _of_error(part: str, error: Exception) -> list[Finding]:
    complaint = as_complaint(error)
    message = complaint.message if complaint else f"{type(error).__name__}: {error}"
    lines = sentences(message) if part == "configuration" else [message]
    own_fix = complaint.fix if complaint else ""  # a configuration error's own words hold the remedy
    fix = own_fix if isinstance(error, ConfigurationError) else REMEDIES.get(part, own_fix)
    return [_finding(part, line, fix) for line in lines]


def _finding(part: str, what: str, fix: str) -> Finding:
    return {"part": part, "what": f"{part}: {what}", "fix": fix}
