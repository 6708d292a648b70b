"""Make a greeting, counted against the tenant's plan."""

from host.sdk import allow, settings, tenant

from .settings import HelloSettings


async def greet() -> str:
    """A greeting for the current organisation, counted against its plan.

    Raises:
        RateLimited: the plan allows no more greetings for now.
    """
    await allow("hello.greetings")
    return f"{settings(HelloSettings).word}, {(await tenant()).name}!"
