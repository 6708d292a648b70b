"""The trial plugin: the deployment's source of plans, which gives a new organisation a larger plan for some days."""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, Field

from host import sdk

TRIAL, AFTERWARDS = "pro", "free"
ENDED = "tenantry_trial_ended_total"


class TrialSettings(BaseModel, extra="forbid"):
    """`[pro.trial]` in config/plans.toml."""

    days: int = Field(default=0, ge=0)  # how long the trial lasts, in days; 0: there is none


async def end() -> None:
    """End the trial."""
    async with sdk.unit_of_work():
        await sdk.assign_plan(AFTERWARDS, "The trial is over.")


async def when_plan_changed(event: sdk.TenantPlanChanged) -> None:
    """Count the trials that ended."""
    if (event.before, event.after) == (TRIAL, AFTERWARDS):
        sdk.count(ENDED)


@sdk.hookimpl
async def on_tenant_created(tenant: sdk.TenantInfo) -> None:
    """Begin the trial; this may be called twice for one organisation, and begins it once."""
    days = (await sdk.plan_settings(TrialSettings, TRIAL)).days
    if days:
        async with sdk.unit_of_work() as work:
            await sdk.assign_plan(TRIAL, f"A trial of {days} days.")
            await work.enqueue("trial.end", run_at=datetime.now(UTC) + timedelta(days=days), key="end")


@sdk.hookimpl
def register_plan_source() -> list[sdk.PlanSource]:
    return [sdk.PlanSource("The trial of a new organisation")]


@sdk.hookimpl
def register_plan_settings() -> type[TrialSettings]:
    return TrialSettings


@sdk.hookimpl
def register_listeners() -> list[sdk.Subscription]:
    return [sdk.Subscription("host.TenantPlanChanged", when_plan_changed)]


@sdk.hookimpl
def register_metrics() -> list[sdk.Metric]:
    return [sdk.Metric(ENDED, "counter", "Trials that ended")]


@sdk.hookimpl
def register_tasks() -> list[sdk.Task]:
    return [sdk.Task("end", end, "End the trial of a plan", any_tenant_state=True)]
