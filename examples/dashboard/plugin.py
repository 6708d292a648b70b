"""The dashboard plugin: it offers the extension point `dashboard.cards` and shows what others contribute to it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel

from host import sdk

READ = sdk.Permission("dashboard.cards.read", "See the dashboard", roles=("admin", "member", "viewer"))


@dataclass(frozen=True)
class Card:
    """A card on an organisation's dashboard."""

    title: str
    read: Callable[[], Awaitable[str]]
    order: int = 0


CARDS = sdk.ExtensionPoint("dashboard.cards", Card, timeout=2.0)
routes = sdk.Routes()


class ShownCard(BaseModel):
    plugin: str
    title: str
    text: str


@routes.get("/dashboard", name="cards.list", permission=READ)
async def list_cards() -> list[ShownCard]:
    """Every card of the plugins that are on here; one that cannot be read says so."""
    cards = sorted(await sdk.contributions(CARDS), key=lambda card: card.content.order)
    return [ShownCard(plugin=card.plugin, title=card.content.title, text=await _text(card.content)) for card in cards]


async def _text(card: Card) -> str:
    try:
        return await card.read()
    except Exception:  # the host has logged it with its plugin's name
        return "not available"


@sdk.hookimpl
def register_routes() -> sdk.Routes:
    return routes


@sdk.hookimpl
def register_extension_points() -> list[sdk.ExtensionPoint[Card]]:
    return [CARDS]
