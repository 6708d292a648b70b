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
    GIVEN_VARIABLES,
    TEMPLATES,
    VERSIONS,
    builtin_template,
    current_version,
    library,
    source_of,
    stored,
)

KEPT = 50
"""Versions of a template that are kept, besides those in use: the newest."""

NAMES = 200
"""Templates that a tenant may have, at most."""

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,61}[a-z0-9])?")

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
    """All templates available to the tenant, sorted by name."""
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
    """The template in use for a reader of `locale`, with its content.

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
    builtin_content = {key: getattr(builtin.source, key) for key in ("subject", "mjml", "html", "text")}
    return entry | {
        "locale": builtin.locale,
        "number": None,
        **builtin_content,
        "variables": _shown(builtin),
        "source": builtin.origin,
    }


async def examples(name: str, locale: str = "") -> dict[str, Any]:
    """Variable -> example, of the template in use for a reader of `locale`; variables without example are left out.

    Raises:
        NotFound: there is no such template.
    """
    variables = (await read(name, locale))["variables"]
    return {each["name"]: each["example"] for each in variables if each["example"] is not None}


async def history(name: str, query: Query) -> Page:
    """The tenant's versions of a template, the newest first.

    Raises:
        NotFound: the tenant has written none.
    """
    return await HISTORY.page(query, template_id=await _id(name))


async def past(name: str, number: int) -> Row:
    """One version of a tenant's template.

    Raises:
        NotFound: there is no such version, or it is no longer kept.
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
    """The number of the version that lists show: the default language's, if the tenant has written it."""
    locales: Mapping[str, str] = entry["locales"]
    locale = next((each for each in fallbacks(library().default_locale) if each in locales), min(locales))
    number: int | None = own["in_force"].get(locale) if own else None
    return number


def _shown(builtin: BuiltinTemplate | None) -> list[Row]:
    return [
        {"name": each.name, "summary": each.summary, "example": each.example, "required": not each.optional}
        for each in (builtin.variables if builtin else ())
    ]


# -- writing ---------------------------------------------------------------------------------------------


async def write(name: str, draft: Draft, locale: str, *, version: int | None = None) -> tuple[Row, bool]:
    """Write a new version and use it from now on; returns the template, and whether the tenant had none of that name.

    version: the version the template must still have; 0 where the tenant has written none yet.

    Raises:
        ValidationFailed: the name, or subject, mjml, html or text is invalid; details hold line and reason.
        PreconditionFailed: it was changed meanwhile.
        Conflict: the tenant has the largest number of templates allowed.
    """
    if not NAME.fullmatch(name):
        raise ValidationFailed(details={"name": "Give up to 63 letters a-z, digits, - and _."})
    builtin = builtin_template(name, locale)
    compiled = await accepted(draft, locale, builtin)
    source = draft.source
    values = {
        "locale": locale,
        "subject": source.subject,
        "mjml": source.mjml,
        "html": source.html,
        "text": source.text,
    }
    async with unit_of_work() as work:
        existing = await _locked(name, version)
        if existing is None:
            if await Template.all().count() >= NAMES:
                raise Conflict(
                    f"There are {NAMES} templates of your own already, which is the limit; delete one first."
                )
            template = await TEMPLATES.insert(name=name, in_force={locale: 1})
        else:
            in_force = existing.in_force | {locale: existing.version + 1}
            template = (await TEMPLATES.change(existing.id, {"in_force": in_force})).after
        number = template["version"]
        await VERSIONS.insert(
            template_id=template["id"],
            number=number,
            variables=_declared(compiled, draft.examples, builtin),
            created_by=actor().user_id,
            **values,
        )
        await _forget_old(template)
        before = existing.in_force.get(locale) if existing else None
        work.record(
            "mail.templates.update", "template", name, before={"version": before}, after={"version": number, **values}
        )
    return await read(name, locale), existing is None


async def restore(name: str, number: int, *, version: int | None = None) -> Row:
    """Use an earlier version again, as a new version.

    Raises:
        NotFound: there is no such version, or it is no longer kept.
        PreconditionFailed: the template was changed meanwhile.
    """
    earlier = await past(name, number)
    shown = {each["name"]: each["example"] for each in earlier["variables"]}
    row, _ = await write(name, Draft(source_of(earlier), shown), earlier["locale"], version=version)
    return row


async def remove(name: str, locale: str = "", *, version: int | None = None) -> None:
    """Use the built-in template again, in one language or all; the versions can still be restored.

    Raises:
        NotFound: the tenant has no own version in use there.
        PreconditionFailed: the template was changed meanwhile.
    """
    async with unit_of_work() as work:
        template = await _locked(name, version)
        removed = (
            {language: number for language, number in template.in_force.items() if locale in {"", language}}
            if template
            else {}
        )
        if template is None or not removed:
            raise NotFound(f"You have no template of your own for {name!r}" + (f" for {locale}." if locale else "."))
        remaining = {language: number for language, number in template.in_force.items() if language not in removed}
        await TEMPLATES.change(template.id, {"in_force": remaining})
        work.record("mail.templates.delete", "template", name, before={"in_force": removed}, after={})


async def _locked(name: str, version: int | None) -> Template | None:
    template = await Template.filter(name=name).select_for_update().first()
    current = template.version if template else 0
    if version is not None and version != current:
        raise PreconditionFailed(details={"version": current})
    return template


async def _forget_old(template: Row) -> None:
    """Delete versions beyond the newest KEPT, except those in use."""
    newest = TemplateVersion.filter(template_id=template["id"]).order_by("-number").offset(KEPT).limit(KEPT)
    old = set(await newest.values_list("number", flat=True)) - set(template["in_force"].values())
    if old:
        await TemplateVersion.filter(template_id=template["id"], number__in=old).delete()


def _declared(compiled: Compiled, examples: Mapping[str, Any], builtin: BuiltinTemplate | None) -> Sequence[Row]:
    """Every variable that the template uses, with summary and example where there are any."""
    described = {each.name: each for each in builtin.variables} if builtin else {}
    used = (compiled.needs.required | compiled.needs.optional) - (GIVEN_VARIABLES - described.keys() - examples.keys())
    return [
        {
            "name": name,
            "summary": described[name].summary if name in described else "",
            "example": examples.get(name, described[name].example if name in described else None),
            "required": name in compiled.needs.required - GIVEN_VARIABLES,
        }
        for name in sorted(used)
    ]
