"""The echo plugin: the smallest WebSocket."""

from host import sdk

SPEAK = sdk.Permission("echo.messages.create", "Speak to the echo", roles=("admin", "member"))

routes = sdk.Routes()


@routes.socket("/echo", permission=SPEAK, name="messages.echo")
async def echo(socket: sdk.Socket) -> None:
    """Say what was said, and who said it."""
    async for message in socket:
        if message == "bye":
            await socket.close(4000, "Bye!")
        else:
            await socket.send({"said": message, "by": sdk.actor().label})


@sdk.hookimpl
def register_routes() -> sdk.Routes:
    return routes
