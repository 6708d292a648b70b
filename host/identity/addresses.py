"""E-mail addresses: checked, and written in the one way by which a person is found again."""

from __future__ import annotations

import email_validator

from host.errors import ValidationFailed

INTERNAL_DOMAINS = ("local", "test")
"""Reserved names (RFC 6761, 6762) that are real addresses inside a company's network or a test."""

for _name in INTERNAL_DOMAINS:
    # The library's documented switch for networks where a reserved name is in use.
    if _name in email_validator.SPECIAL_USE_DOMAIN_NAMES:
        email_validator.SPECIAL_USE_DOMAIN_NAMES.remove(_name)


def normalise(address: str, *, field: str = "email") -> str:
    """The address in lower case, its domain in IDNA's ASCII form (RFC 5891), 254 characters at most.

    Raises:
        ValidationFailed: it is no address; `field` is the key of the complaint.
    """
    try:
        found = email_validator.validate_email(address.strip(), check_deliverability=False)
    except email_validator.EmailNotValidError as error:
        raise ValidationFailed(details={field: str(error)}) from None
    # `lower` after the library's NFC: look-alikes such as the Kelvin sign are plain letters by now.
    normal = f"{found.local_part.lower()}@{found.ascii_domain}"
    if len(normal) > 254:
        raise ValidationFailed(details={field: "an address has 254 characters at most"})
    return normal
