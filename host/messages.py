"""Ask for a message to a person: who sends it, if anybody, is left to plugins that hear of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import Field, JsonValue

from host.contracts import Event, EventType, MessageTemplate
from host.execution_context import plugin
from host.identity.addresses import normalise
from host.input_errors import nearest
from host.provisioning import provisioning
from host.registry.kinds import MESSAGE_TEMPLATES
from host.registry.message_templates import CATEGORY, described
from host.services import unit_of_work
from tenants.context import current

_NONE: Mapping[str, JsonValue] = MappingProxyType({})


class MessageWanted(Event, frozen=True):
    """A plugin wants `template`, "<plugin>.<name>", sent to the address `to`, in the tenant it was announced in.

    category: what the reader may unsubscribe from; "" is the template's own, else transactional. key: the same message
    to the same address is sent once, "" for one that is always new. locale: the reader's language (BCP 47), "" if
    unknown.

    Example:
        async def when_message_wanted(event: MessageWanted) -> None:
            await send_text(event.to, event.template, event.variables)
    """

    to: str
    template: str
    variables: dict[str, JsonValue]
    category: str = Field(default="", pattern=CATEGORY)
    key: str = ""
    locale: str = ""


EVENTS = (EventType(MessageWanted, "A plugin wants a message sent to somebody"),)


def message_templates() -> Mapping[str, MessageTemplate]:
    """The message templates of all loaded plugins by their full name, "<plugin>.<name>".

    Example:
        folder = message_templates()["notes.reminder"].folder
    """
    return provisioning().registry.catalog.named(MESSAGE_TEMPLATES)


async def request_message(
    to: str,
    template: str,
    variables: Mapping[str, JsonValue] = _NONE,
    *,
    key: str = "",
    category: str = "",
    locale: str = "",
) -> None:
    """Ask for one of this plugin's message templates to be sent, in the unit of work around it or one of its own.

    It goes to whoever listens to `host.MessageWanted`: the plugin `mail`, where it is loaded and on. Where nobody
    listens, nothing is sent and nothing fails, so no plugin has to require another one. What is wrong with the call
    itself is an error whether or not somebody listens.

    to: a bare e-mail address. key: asked for once more with the same key, nothing is sent to that address again.
    category: what readers may unsubscribe from, such as "newsletter"; the template's own where it is not given, else
    transactional. variables: no secrets; they can be read where sent messages are kept.

    Raises:
        ValidationFailed: `to` is no address. LookupError: this plugin declares no such template.
        ValueError: a variable is missing or unknown, or the category is none. TenantMissing: no tenant is bound.

    Example:
        await request_message("ada@example.com", "notes.reminder", {"text": note["text"]}, key=f"due-{note['id']}")
    """
    current()
    own = {name: each for name, each in message_templates().items() if name.partition(".")[0] == plugin()}
    if template not in own:
        raise LookupError(
            f'plugin "{plugin()}" declares no message template "{template}": return it from '
            f"register_message_templates{nearest(template, own)}"
        )
    if wrong := described(own[template].folder).wrong(variables):
        raise ValueError(f"message template {template}: variables do not fit: {wrong}; see its template.toml")
    wanted = MessageWanted(
        to=normalise(to, field="to"),
        template=template,
        variables=dict(variables),
        category=category,
        key=key,
        locale=locale,
    )
    async with unit_of_work() as work:
        work.announce(wanted)
