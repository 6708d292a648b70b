"""Door for web servers: `host.asgi:app`, made from settings and plugins when the server starts."""

from host.app import LazyApp

app = LazyApp()
