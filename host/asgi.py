"""ASGI entry point `host.asgi:app`, built from settings and plugins when the web server starts."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from host.app import Application, freeze
from host.log import configure
from host.loop_watch import watch_loop
from host.metrics import process_files
from host.settings import load
from host.web.server.pings import install_pings
from host.web.server.pipeline import Pipeline
from host.web.server.protocol_errors import install_protocol_errors
from host.web.server.shutdown import at_shutdown, install_shutdown_notice


class LazyApp:
    """The ASGI application that a server imports: made from settings when the server's lifespan starts."""

    def __init__(self) -> None:
        self._app: Pipeline | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one ASGI connection.

        Raises:
            RuntimeError: the server did not run the lifespan first.
        """
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._app is None:
            raise RuntimeError("this server must run the ASGI lifespan before the first request")
        else:
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                settings = load(plugin_ids=None)
                configure(settings.log.level, settings.log.format)
                stack.enter_context(process_files.shared(settings.data.dir))
                application = await stack.enter_async_context(Application.open(settings, jobs=settings.server.run_jobs))
                application.check_production()
                self._app = application.asgi()
                stack.enter_context(at_shutdown(application.services.rights.drain))  # open streams would be waited for
                freeze()
                await stack.enter_async_context(watch_loop(application.packages))
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


install_protocol_errors()
install_pings()
install_shutdown_notice()
app = LazyApp()
