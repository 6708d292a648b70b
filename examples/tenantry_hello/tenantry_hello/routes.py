"""HTTP endpoint of the hello plugin."""

from pydantic import BaseModel

from host.sdk import Routes

from . import service

routes = Routes()


class Greeting(BaseModel):
    greeting: str


@routes.get(
    "/hello",
    name="greetings.read",
    summary="A greeting for this organisation",
    permission="hello.greetings.read",
    limits=("hello.greetings",),
)
async def read_greeting() -> Greeting:
    return Greeting(greeting=await service.greet())
