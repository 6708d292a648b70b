"""E-mail addresses: checked, and written in the one way by which a person is found again."""

from __future__ import annotations

from host.errors import ValidationFailed
from tenants.text import address_key


def normalise(address: str, *, field: str = "email") -> str:
    """The address in lower case, its domain in IDNA's ASCII form (RFC 5891), 254 characters at most.

    Raises:
        ValidationFailed: it is no address; `field` is the key of the complaint.
    """
    try:
        return address_key(address)
    except ValueError as error:
        raise ValidationFailed(details={field: str(error)}) from None
