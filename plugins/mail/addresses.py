"""Parse, check, normalise and format e-mail addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field

from host.sdk import cut_to_line, one_line

LONGEST = 254
"""Characters of an address, at most (RFC 3696 erratum 1690)."""

LONGEST_NAME = 200

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Line breaks, control characters and surrogates, which may not be in a header (RFC 5322 section 2.2)."""

_ANGLED = re.compile(r"(?P<name>.*?)<(?P<email>[^<>]*)>", re.DOTALL)
_ENCODED_WORD = re.compile(r"=\?[^?\s]*\?[bq]\?", re.IGNORECASE)  # RFC 2047
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ \-\x80-\U0010ffff]*")  # atoms: needs no quotation marks
_QUOTED = re.compile(r'"(?P<inner>(?:[^"\\]|\\.)*)"')
_SPECIAL = re.compile(r'[",;:@<>\\\[\]]')  # in a name, these need quotation marks


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: `name` for people, may be ""; `email` with its domain in lower case and IDNA's ASCII form.

    `str()` is what a header shows before RFC 2047 encoding, and what `parse_address` reads back to an equal Address.
    """

    name: str
    email: str

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the part before the @ is not ASCII, which only some servers take (RFC 6531)."""
        return not self.email.isascii()

    @property
    def key(self) -> str:
        """The one form in which two spellings of the address are equal, as `host.sdk.address_key` makes it."""
        return self.email.lower()  # composed, its domain in ASCII: `email` is that already

    def __str__(self) -> str:
        return f"{phrase(self.name)} <{self.email}>" if self.name else self.email


def phrase(name: str) -> str:
    """A name as a header shows it before `<`: in quotation marks where RFC 5322 section 3.2.4 requires them."""
    if _PHRASE.fullmatch(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


@lru_cache(maxsize=1000)
def stored_address(text: str) -> Address:
    """Parse an address that `str(Address)` wrote into a row, without checking its name again."""
    name, angle, email = text.removesuffix(">").rpartition("<")
    if not angle:
        return Address("", text)
    name = name.strip()
    quoted = _QUOTED.fullmatch(name)
    return Address(cut_to_line(re.sub(r"\\(.)", r"\1", quoted["inner"]) if quoted else name), email)


@lru_cache(maxsize=1000)  # one message asks several times for each of its addresses
def parse_address(text: str) -> Address:
    """One address: `ada@example.com`, `Ada <ada@example.com>` or `"Lovelace, Ada" <ada@example.com>`.

    Raises:
        ValueError: it is not one valid address, or could break out of a header; a sentence for people.
    """
    if len(text) > LONGEST + 2 * LONGEST_NAME:
        raise ValueError("The address is too long.")
    try:
        text = one_line(text)
    except ValueError as error:
        raise ValueError(f"An address {error}.") from None
    angled = _ANGLED.fullmatch(text.strip())
    name, email = (_name(angled["name"].strip()), angled["email"]) if angled else ("", text)
    return Address(name, _email(email.strip()))


def searched(text: str) -> str:
    """Normalise a search term, an address or a part of one, to the spelling that rows have."""
    try:
        return parse_address(text).key
    except ValueError:
        before, at, domain = text.strip().lower().rpartition("@")
    try:
        return before + parse_address(f"x{at}{domain}").key.removeprefix("x")
    except ValueError:
        return before + at + domain


def _name(written: str) -> str:
    quoted = _QUOTED.fullmatch(written)
    if quoted:
        written = re.sub(r"\\(.)", r"\1", quoted["inner"]).strip()
    elif special := _SPECIAL.search(written):
        raise ValueError(f"Give one address; put a name with {special[0]} in it into quotation marks.")
    if _ENCODED_WORD.search(written):
        raise ValueError("Write the name itself, not as an encoded word (RFC 2047).")
    if len(written) > LONGEST_NAME:
        raise ValueError(f"The name before the address has {LONGEST_NAME} characters at most.")
    return written


def _email(written: str) -> str:
    # Checked first, so that the library does no work on text that is far too long.
    if len(written) > LONGEST:
        raise ValueError(f"An address has {LONGEST} characters at most.")
    try:
        validated = validate_email(written, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    email = f"{validated.local_part}@{validated.ascii_domain}"
    if len(email.encode()) > LONGEST:
        raise ValueError(f"An address has {LONGEST} characters at most.")
    return email


AddressText = Annotated[
    str,
    AfterValidator(lambda text: str(parse_address(text))),
    Field(description="`ada@example.com` or `Ada Lovelace <ada@example.com>`", max_length=LONGEST + 2 * LONGEST_NAME),
]
"""An address in a request body: checked and normalised, as text."""
