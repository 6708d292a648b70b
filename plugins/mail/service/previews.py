"""Preview templates and drafts with example values."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from host.sdk import ValidationFailed, tenant

from ..rendering.compiled import Compiled, Rendered, Source
from ..rendering.errors import MissingVariables, RenderFailed, TemplateRefused
from ..rendering.library import BuiltinTemplate
from .templates import builtin_template, library, prepared

_ALWAYS = {"unsubscribe_url": "https://example.com/unsubscribe"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A template as a tenant writes it; examples: variable -> what a preview shows for it."""

    source: Source
    examples: Mapping[str, Any] = field(default_factory=dict)


async def of_draft(name: str, draft: Draft, variables: Mapping[str, Any], locale: str = "") -> Rendered:
    """Render a draft; given variables take precedence over its examples, these over those of the built-in template.

    Raises:
        ValidationFailed: a variable has no value and no example, or the draft is invalid or fails.
    """
    compiled = await compiled_draft(draft, locale or library().default_locale)
    builtin = builtin_template(name, locale)
    return await _filled(compiled, {**(builtin.examples if builtin else {}), **draft.examples, **variables})


async def of_template(
    name: str, examples: Mapping[str, Any], variables: Mapping[str, Any], locale: str = ""
) -> Rendered:
    """Render the template that is in use for a locale.

    Raises:
        NotFound: there is no such template.
        ValidationFailed: a variable has no value and no example, or the template fails.
    """
    try:
        compiled = (await prepared(name, locale=locale)).compiled
    except RenderFailed as failed:
        raise ValidationFailed(details=_named(failed)) from None
    return await _filled(compiled, {**examples, **variables})


async def accepted(draft: Draft, locale: str, builtin: BuiltinTemplate | None) -> Compiled:
    """Compile a draft and render it once with its examples, so that endless loops are found before it is used.

    Raises:
        ValidationFailed: subject, mjml, html or text is not accepted; details hold line and reason.
    """
    compiled = await compiled_draft(draft, locale)
    try:
        await _render(compiled, {**(builtin.examples if builtin else {}), **draft.examples})
    except MissingVariables:
        pass  # some variables have no example
    except RenderFailed as failed:
        raise ValidationFailed(details=_named(failed)) from None
    return compiled


async def compiled_draft(draft: Draft, locale: str) -> Compiled:
    """Compile a draft, in a thread, since untrusted templates may take long.

    Raises:
        ValidationFailed: subject, mjml, html or text is not accepted; details hold line and reason.
    """
    try:
        return await asyncio.to_thread(library().compile, draft.source, locale)
    except TemplateRefused as refused:
        raise ValidationFailed(details={refused.part or "template": refused.message}) from None


async def _filled(compiled: Compiled, values: Mapping[str, Any]) -> Rendered:
    try:
        return await _render(compiled, values)
    except MissingVariables as error:
        wrong = {f"variables.{each}": "This variable has neither value nor example." for each in error.names}
        raise ValidationFailed(details=wrong) from None
    except RenderFailed as failed:
        raise ValidationFailed(details=_named(failed)) from None


async def _render(compiled: Compiled, values: Mapping[str, Any]) -> Rendered:
    all_values = {"organisation": (await tenant()).name, **_ALWAYS, **values}
    return await asyncio.to_thread(
        compiled.render, {name: each for name, each in all_values.items() if each is not None}
    )


def _named(failed: RenderFailed) -> dict[str, str]:
    line = f"line {failed.line}: " if failed.line else ""
    return {failed.part or "template": line + failed.reason}
