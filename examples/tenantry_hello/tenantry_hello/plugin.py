"""Hook implementations of the hello plugin: a limit, a setting and a route."""

from collections.abc import Sequence

from host.sdk import Limit, Route, hookimpl

from .routes import routes
from .settings import HelloSettings


@hookimpl
def register_limits() -> Sequence[Limit]:
    return [Limit("hello.greetings", "rate", "How often an organisation is greeted", "greetings", default="60/minute")]


@hookimpl
def register_settings() -> type[HelloSettings]:
    return HelloSettings


@hookimpl
def register_routes() -> Sequence[Route]:
    return routes
