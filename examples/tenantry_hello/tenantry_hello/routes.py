"""HTTP endpoint of the hello plugin."""

from pydantic import BaseModel

from host.sdk import Permission, Routes

from . import service

routes = Routes()
READ = Permission("hello.greetings.read", "Be greeted", roles=("admin", "member", "viewer"))


class Greeting(BaseModel):
    greeting: str


@routes.get("/hello", name="greetings.read", permission=READ, limits=("hello.greetings",))
async def read_greeting() -> Greeting:
    """Greet this organisation."""
    return Greeting(greeting=await service.greet())
