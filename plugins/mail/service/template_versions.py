"""Write, list, restore and delete a tenant's own templates; every change is kept as a version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from host.sdk import (
    Conflict,
    NotFound,
    Page,
    PreconditionFailed,
    Query,
    Records,
    Row,
    ValidationFailed,
    actor,
    unit_of_work,
)

from ..models.templates import Template, TemplateVersion
from ..rendering.compiled import Compiled
from ..rendering.library import BuiltinTemplate, fallbacks
from .previews import Draft, accepted
from .templates import (
    BY_THE_HOUSE,
    TEMPLATES,
    VERSIONS,
    builtin_template,
    current_version,
    library,
    source_of,
    stored,
)

KEPT = 50
"""Versions of a name that are kept: the newest, and those in force."""

NAMES = 200
"""Names that a tenant may write for."""

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")

HISTORY = Records(
    TemplateVersion,
    fields=("number", "locale", "subject", "created_by", "created_at"),
    filters=("locale",),
    sorts=("number",),
    default_sort="-number",
)
"""Versions as lists show them: without their content."""


# -- reading ---------------------------------------------------------------------------------------------


async def listed() -> list[Row]:
    """Every template there is for the tenant, by name."""
    own = {row["name"]: row for row in await Template.all().values("id", "name", "in_force", "version")}
    written = {name: row for name, row in own.items() if row["in_force"]}
    numbers = {number for row in written.values() for number in row["in_force"].values()}
    versions = await TemplateVersion.filter(
        template_id__in=[row["id"] for row in written.values()], number__in=numbers
    ).values("template_id", "number", "variables")
    variables = {(row["template_id"], row["number"]): row["variables"] for row in versions}
    shown = []
    for name in sorted({*library().names, *written}):
        entry = _entry(name, own.get(name))
        number = _nearest(entry, own.get(name))
        entry["variables"] = variables.get((own[name]["id"], number)) if number else _shown(builtin_template(name, ""))
        shown.append(entry)
    return shown


async def read(name: str, locale: str = "") -> Row:
    """The template that counts for a reader of `locale`, with what it says.

    Raises:
        NotFound: there is no such template.
    """
    number = await current_version(name, locale)
    entry = _entry(name, await TEMPLATES.find(name=name))
    version = await stored(name, number) if number is not None else None
    if version is not None:
        content = {key: version[key] for key in ("locale", "number", "subject", "mjml", "html", "text", "variables")}
        return entry | content | {"source": "tenant"}
    builtin = builtin_template(name, locale)
    if builtin is None:
        raise NotFound(f"There is no template {name!r}.")
    said = {key: getattr(builtin.source, key) for key in ("subject", "mjml", "html", "text")}
    return entry | {
        "locale": builtin.locale,
        "number": None,
        **said,
        "variables": _shown(builtin),
        "source": builtin.origin,
    }


async def examples(name: str, locale: str = "") -> dict[str, Any]:
    """Variable -> example, of the template that counts for a reader of `locale`; without those that have none.

    Raises:
        NotFound: there is no such template.
    """
    variables = (await read(name, locale))["variables"]
    return {each["name"]: each["example"] for each in variables if each["example"] is not None}


async def history(name: str, query: Query) -> Page:
    """What the tenant has written under that name, the newest first.

    Raises:
        NotFound: it has written nothing there.
    """
    return await HISTORY.page(query, template_id=await _id(name))


async def past(name: str, number: int) -> Row:
    """What the tenant has written once.

    Raises:
        NotFound: there is no such version, or not any more.
    """
    row = await stored(name, number)
    if row is None:
        raise NotFound
    return row


async def _id(name: str) -> Any:
    own = await TEMPLATES.find(name=name)
    if own is None:
        raise NotFound
    return own["id"]


def _entry(name: str, own: Row | None) -> Row:
    builtin = library().locales(name)
    in_force: Mapping[str, int] = own["in_force"] if own else {}
    locales = {locale: str(each.origin) for locale, each in builtin.items()} | dict.fromkeys(in_force, "tenant")
    summary = next((each.summary for each in builtin.values()), "")
    origins = set(locales.values())
    source = next(each for each in ("tenant", "deployment", "plugin", "") if each in origins or not each)
    return {
        "name": name,
        "summary": summary,
        "source": source,
        "locales": dict(sorted(locales.items())),
        "version": own["version"] if own else 0,
    }


def _nearest(entry: Row, own: Row | None) -> int | None:
    """The number of the tenant's version that a list speaks of: the default language's, if that is the tenant's."""
    locales: Mapping[str, str] = entry["locales"]
    locale = next((each for each in fallbacks("", library().default_locale) if each in locales), min(locales))
    number: int | None = own["in_force"].get(locale) if own else None
    return number


def _shown(builtin: BuiltinTemplate | None) -> list[Row]:
    return [
        {"name": each.name, "summary": each.summary, "example": each.example, "required": not each.optional}
        for each in (builtin.variables if builtin else ())
    ]


# -- writing ---------------------------------------------------------------------------------------------


async def write(name: str, draft: Draft, locale: str, *, version: int | None = None) -> tuple[Row, bool]:
    """Have the tenant's own text count from now on; returns it, and whether the name is new to the tenant.

    version: what the template's version has to be still; 0 where the tenant has written nothing yet.

    Raises:
        ValidationFailed: the name, or subject, mjml, html or text is not accepted; details hold line and reason.
        PreconditionFailed: it was changed meanwhile.
        Conflict: the tenant has written for as many names as it may.
    """
    if not NAME.fullmatch(name):
        raise ValidationFailed(details={"name": "Give up to 63 letters a-z, digits, - and _."})
    builtin = builtin_template(name, locale)
    compiled = await accepted(draft, locale, builtin)
    said = draft.source
    values = {"locale": locale, "subject": said.subject, "mjml": said.mjml, "html": said.html, "text": said.text}
    async with unit_of_work() as work:
        known = await _locked(name, version)
        if known is None:
            if await Template.all().count() >= NAMES:
                raise Conflict(f"There are templates of {NAMES} names already, which is all there may be.")
            template = await TEMPLATES.insert(name=name, in_force={locale: 1})
        else:
            in_force = known.in_force | {locale: known.version + 1}
            template = (await TEMPLATES.change(known.id, {"in_force": in_force})).after
        number = template["version"]
        await VERSIONS.insert(
            template_id=template["id"],
            number=number,
            variables=_declared(compiled, draft.examples, builtin),
            created_by=actor().user_id,
            **values,
        )
        await _forget_old(template)
        before = known.in_force.get(locale) if known else None
        work.record(
            "mail.templates.update", "template", name, before={"version": before}, after={"version": number, **values}
        )
    return await read(name, locale), known is None


async def restore(name: str, number: int, *, version: int | None = None) -> Row:
    """Have an earlier version count again, as a new one.

    Raises:
        NotFound: there is no such version, or not any more.
        PreconditionFailed: the template was changed meanwhile.
    """
    earlier = await past(name, number)
    shown = {each["name"]: each["example"] for each in earlier["variables"]}
    row, _ = await write(name, Draft(source_of(earlier), shown), earlier["locale"], version=version)
    return row


async def remove(name: str, locale: str = "", *, version: int | None = None) -> None:
    """Have the host's own count again, in one language or all; what was written can still be restored.

    Raises:
        NotFound: the tenant has nothing in force there.
        PreconditionFailed: the template was changed meanwhile.
    """
    async with unit_of_work() as work:
        known = await _locked(name, version)
        gone = {each: n for each, n in known.in_force.items() if locale in {"", each}} if known else {}
        if known is None or not gone:
            raise NotFound(f"There is nothing of your own in {name!r}" + (f" for {locale}." if locale else "."))
        left = {each: number for each, number in known.in_force.items() if each not in gone}
        await TEMPLATES.change(known.id, {"in_force": left})
        work.record("mail.templates.delete", "template", name, before={"in_force": gone}, after={})


async def _locked(name: str, version: int | None) -> Template | None:
    known = await Template.filter(name=name).select_for_update().first()
    current = known.version if known else 0
    if version is not None and version != current:
        raise PreconditionFailed(details={"version": current})
    return known


async def _forget_old(template: Row) -> None:
    """Versions beyond the newest go, unless they are in force."""
    newest = TemplateVersion.filter(template_id=template["id"]).order_by("-number").offset(KEPT).limit(KEPT)
    old = set(await newest.values_list("number", flat=True)) - set(template["in_force"].values())
    if old:
        await TemplateVersion.filter(template_id=template["id"], number__in=old).delete()


def _declared(compiled: Compiled, examples: Mapping[str, Any], builtin: BuiltinTemplate | None) -> Sequence[Row]:
    """Every variable that the template uses, as far as something is known of it."""
    known = {each.name: each for each in builtin.variables} if builtin else {}
    used = (compiled.needs.required | compiled.needs.optional) - (BY_THE_HOUSE - known.keys() - examples.keys())
    return [
        {
            "name": name,
            "summary": known[name].summary if name in known else "",
            "example": examples.get(name, known[name].example if name in known else None),
            "required": name in compiled.needs.required - BY_THE_HOUSE,
        }
        for name in sorted(used)
    ]
