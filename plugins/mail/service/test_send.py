"""Send a test message of a template to a member of the tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host.sdk import Row, ValidationFailed, member_locale

from ..addresses import parse_address
from .drafts import TRANSACTIONAL_CATEGORY, Draft
from .messages import accept
from .template_versions import examples


async def send(name: str, to: str, variables: Mapping[str, Any], locale: str = "") -> Row:
    """Accept a message of the template to a member of the tenant; examples replace variables that are not given.

    Raises:
        NotFound: there is no such template.
        ValidationFailed: `to` is not a member of this tenant, or a variable has neither value nor example.
        QuotaExceeded, RateLimited: a limit of the plan is reached.
    """
    try:
        address = parse_address(to).email
    except ValueError as error:
        raise ValidationFailed(details={"to": str(error)}) from None
    if await member_locale(address) is None:
        raise ValidationFailed(details={"to": "No member of this organisation has this address."})
    values = {**await examples(name, locale), **variables}
    return await accept(
        Draft(template=name, locale=locale, category=TRANSACTIONAL_CATEGORY), to=[address], variables=values
    )
