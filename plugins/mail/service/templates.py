"""Choose the template for a tenant and language, compile it and render it.

The reader's language comes first, then the owner of the template: a German reader gets a German text, the tenant's if
it has one, else the deployment's, else the plugin's; only where there is no German text, the default locale is used,
then English, each in the same order. So a tenant that has written only English texts does not hide the German ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from host.sdk import NotFound, Records, Row, app_singleton, cut_to_line, message_templates, settings, tenant

from ..models.templates import Template, TemplateVersion
from ..rendering.compiled import Compiled, Rendered, Source
from ..rendering.errors import MissingVariables, RenderFailed, TemplateRefused
from ..rendering.library import BuiltinTemplate, Library, fallbacks
from ..rendering.plaintext import text_of
from ..settings import Settings

__all__ = [
    "MissingVariables",
    "RenderFailed",
    "Rendered",
    "current_version",
    "prepared",
    "render",
    "render_builtin",
    "text_of",
]

TEMPLATES = Records(Template)
VERSIONS = Records(TemplateVersion, filters={"locale": "exact"}, sorts=("number",), default_sort="-number")

GIVEN_VARIABLES = frozenset({"organisation", "unsubscribe_url"})
"""Variables that are set for every template: the organisation's name, and for bulk mail the unsubscribe link."""


def library() -> Library:
    """The built-in and deployment templates of this application, with the cache of compiled ones.

    Raises:
        TemplateRefused: something in the deployment's folder is wrong.
    """
    return app_singleton(_library)


def _library() -> Library:
    chosen = settings(Settings)
    others = {name: template.folder for name, template in message_templates().items()}
    return Library(Path(chosen.templates) if chosen.templates else None, chosen.locale, others)


# -- rendering -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepared:
    """A compiled template, to be rendered for any number of recipients.

    version: of the tenant's template; None for a built-in one. described: variables it may be given, used or not.
    """

    compiled: Compiled
    organisation: str
    version: int | None
    described: frozenset[str] = GIVEN_VARIABLES

    def render(self, variables: Mapping[str, object]) -> Rendered:
        """Render the template for one recipient.

        Raises:
            MissingVariables: names all variables that the template uses and was not given.
            RenderFailed: the reason.
        """
        return self.compiled.render({"organisation": self.organisation, **variables})

    def unknown(self, names: Collection[str]) -> frozenset[str]:
        """Which of these variables neither the template nor its description knows."""
        needs = self.compiled.needs
        return frozenset(names).difference(needs.required, needs.optional, self.described)


async def render(
    name: str, variables: Mapping[str, object], *, locale: str = "", version: int | None = None
) -> Rendered:
    """Render a template for a reader of `locale`.

    version: use the tenant's version of that number; if it is no longer kept, the one in use.

    Raises:
        NotFound: there is no such template.
        MissingVariables: names all variables that the template uses and was not given.
        RenderFailed: the reason.
    """
    return (await prepared(name, locale=locale, version=version)).render(variables)


def render_builtin(name: str, variables: Mapping[str, object], locale: str = "") -> Rendered:
    """Render the deployment's or the plugin's template; needs no tenant.

    Raises:
        NotFound, MissingVariables, RenderFailed: as `render`.
    """
    template = builtin_template(name, locale)
    if template is None:
        raise NotFound(f"There is no template {name!r}.")
    sender = settings(Settings).sender.name or "Tenantry"
    return Prepared(_compiled_builtin(template), sender, None).render(variables)


async def prepared(name: str, *, locale: str = "", version: int | None = None) -> Prepared:
    """Find and compile a template; see `render`.

    Raises:
        NotFound: there is no such template.
        RenderFailed: it is no longer valid; the reason.
    """
    owner = await tenant()
    number = version if version is not None else await current_version(name, locale)
    if number is not None:
        key = (owner.id, name, number)
        compiled = library().find(key)
        row = None if compiled else await stored(name, number)
        if row is not None:
            compiled = library().cached(key, lambda: _compiled_own(row))
        if compiled is not None:
            return Prepared(compiled, cut_to_line(owner.name), number, _described(name))
        if version is not None and (in_use := await current_version(name, locale)) != version:
            return await prepared(name, locale=locale, version=in_use)
    builtin = builtin_template(name, locale)
    if builtin is None:
        raise NotFound(f"There is no template {name!r}.")
    return Prepared(_compiled_builtin(builtin), cut_to_line(owner.name), None, _described(name))


def _described(name: str) -> frozenset[str]:
    builtin = library().locales(name).values()
    return GIVEN_VARIABLES.union(variable.name for each in builtin for variable in each.variables)


def _compiled_own(row: Row) -> Compiled:
    try:
        return library().compile(source_of(row), row["locale"])
    except TemplateRefused as error:
        raise RenderFailed(error.reason, line=error.line, part=error.part) from None


def _compiled_builtin(template: BuiltinTemplate) -> Compiled:
    try:
        return library().compiled(template)
    except TemplateRefused as error:
        raise RenderFailed(f"{template.name}/{template.locale}: {error.message}", part=error.part) from None


# -- choosing --------------------------------------------------------------------------------------------


async def current_version(name: str, locale: str = "") -> int | None:
    """The number of the tenant's version in use for a reader of `locale`; None where the built-in one is used.

    Raises:
        NotFound: there is no such template.
    """
    own = await TEMPLATES.find(name=name)
    in_force: Mapping[str, int] = own["in_force"] if own else {}
    builtin = library().locales(name)
    for candidate in fallbacks(locale, library().default_locale):
        if candidate in in_force:
            return in_force[candidate]
        if candidate in builtin:
            return None
    if in_force:
        return in_force[min(in_force)]  # the tenant's own template, in none of the languages asked for
    if builtin:
        return None
    raise NotFound(f"There is no template {name!r}.")


def builtin_template(name: str, locale: str) -> BuiltinTemplate | None:
    """The deployment's or the plugin's template for a reader of `locale`."""
    builtin = library().locales(name)
    nearest = next((each for each in fallbacks(locale, library().default_locale) if each in builtin), None)
    return builtin[nearest or min(builtin)] if builtin else None


async def stored(name: str, number: int) -> Row | None:
    """A version of the bound tenant's, if it is still kept."""
    own = await TEMPLATES.find(name=name)
    return await VERSIONS.find(template_id=own["id"], number=number) if own else None


def source_of(row: Row) -> Source:
    """The source of a version."""
    return Source(row["subject"], mjml=row["mjml"], html=row["html"], text=row["text"])
