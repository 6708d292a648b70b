"""Validate an e-mail address and convert it to the one form in which it is stored and compared."""

from __future__ import annotations

from host.errors import ValidationFailed
from tenants.text import address_key


def normalise(address: str, *, field: str = "email") -> str:
    """The address in lower case, its domain in IDNA's ASCII form (RFC 5891), 254 characters at most.

    Raises:
        ValidationFailed: it is not an address; `field` is the key in the error's details.
    """
    try:
        return address_key(address)
    except ValueError as error:
        raise ValidationFailed(details={field: str(error)}) from None
