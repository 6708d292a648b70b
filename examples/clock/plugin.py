"""The clock plugin: it contributes a card to `dashboard.cards`, whoever offers that, and knows nothing else of it."""

from host import sdk


async def local_time() -> str:
    """The time where the organisation is."""
    return f"{await sdk.tenant_now():%H:%M}"


@sdk.hookimpl
def register_contributions() -> list[sdk.Contribution]:
    return [sdk.Contribution("dashboard.cards", {"title": "Local time", "read": local_time})]
