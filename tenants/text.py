"""Compare, sort and clean text, and normalise slugs and e-mail addresses, the same way on every database.

Databases compare text in their own ways (SQLite knows letter case in ASCII only, PostgreSQL what its collation says),
so what must be equal or in order is decided here, in Python, and given to them.
"""

from __future__ import annotations

import re
import unicodedata

import email_validator
import idna
from anyascii import anyascii

LONGEST_ADDRESS = 254
"""Characters of an e-mail address (RFC 3696 erratum 1690)."""

LONGEST_SORT_KEY = 400
"""The longest result of `sort_key`, in characters."""

INTERNAL_DOMAINS = ("local", "test")
"""Reserved names (RFC 6761, 6762) that are real addresses inside a company's network or a test."""

for _name in INTERNAL_DOMAINS:
    # The library's documented switch for networks where a reserved name is in use.
    if _name in email_validator.SPECIAL_USE_DOMAIN_NAMES:
        email_validator.SPECIAL_USE_DOMAIN_NAMES.remove(_name)

_FOLDED = (("ß", "ss"), ("ς", "σ"), ("i̇", "i"))  # where lower case alone leaves one letter in two forms
_BETWEEN = re.compile(r"[^a-z0-9]+")
_LATIN = re.compile(r"[ß-ɏ\u1e00-\u1eff]+")  # letters such as ø and ł, which do not come apart into letter and mark

_DOT = re.compile(r"([.\u3002\uff0e\uff61])(?=\S)")  # characters that mail programs and IDNA (RFC 3490) read as a dot
_SLASHES = re.compile(r"(:)\s*//")

_BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that are invisible
_JOINERS = "\u200c\u200d"  # part of words in Persian and Hindi, and of emoji
_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, half characters, separators of lines and paragraphs


# -- comparing and ordering ---------------------------------------------------------------------------------


def fold(text: str) -> str:
    """Text in the one form in which two spellings of it are equal: letter case, composition and width aside.

    "ÄRZTE", "ärzte" and the same with combining marks are one; so are "Straße" and "STRASSE". Accents count.

    Example:
        same = fold("Straße") == fold("STRASSE")
    """
    if text.isascii():
        return text.lower()
    lower = unicodedata.normalize("NFKC", text).lower()
    for spelling, plain in _FOLDED:
        lower = lower.replace(spelling, plain)
    return lower


def sort_key(text: str) -> str:
    """The text to order by, byte by byte: letter case and accents matter only between words otherwise equal."""
    folded = fold(text).strip()
    if folded.isascii():
        return f"{folded[:200]}\x01"
    plain = "".join(each for each in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(each))
    plain = _LATIN.sub(lambda found: anyascii(found[0]).lower(), plain)
    return f"{plain[:200]}\x01{folded}"[:LONGEST_SORT_KEY]


def slug_of(text: str, longest: int = 63, otherwise: str = "") -> str:
    """Text as a DNS label, in the letters that come nearest; `otherwise` where nothing is left of it.

    Example:
        slug = slug_of("Größe & Co")  # "grosse-co"
    """
    plain = anyascii(unicodedata.normalize("NFKC", text)).lower()
    return _BETWEEN.sub("-", plain).strip("-")[:longest].strip("-") or otherwise


def fold_part(text: str) -> str:
    """Part of a text, folded for a search; what follows an @ in IDNA's ASCII form, as domains are stored."""
    part = fold(text)
    local, at, domain = part.rpartition("@")
    if not at or domain.isascii():
        return part
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        return part


def address_or_text(text: str) -> str:
    """`address_key` of an e-mail address; any other text composed (NFC)."""
    try:
        return address_key(text)
    except ValueError:
        return unicodedata.normalize("NFC", text)


# -- one line -----------------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """The text composed (NFC), checked to be one line with at least one visible character.

    Raises:
        ValueError: it has a line break, another control character, or one that is invisible or changes
            the writing direction; or nothing in it is visible. The message is for people.

    Example:
        subject = one_line(subject)
    """
    composed = unicodedata.normalize("NFC", text)
    for character in composed:
        if _spoils_a_line(character):
            raise ValueError(f"must be one line of text, without control characters such as {_named(character)}")
    if not shows_something(composed):
        raise ValueError("must have at least one character that can be seen")
    return composed


def cut_to_line(text: str, longest: int = 200) -> str:
    """Untrusted text as one line: characters `one_line` refuses become spaces, runs of spaces one; may be empty.

    Example:
        label = cut_to_line(text, 50)
    """
    plain = "".join(" " if _spoils_a_line(each) else each for each in unicodedata.normalize("NFC", text))
    line = " ".join(plain.split())[:longest].strip()
    return line if shows_something(line) else ""


def without_links(text: str) -> str:
    """A name in which mail programs find no link: a space follows dots inside words and precedes `//`.

    For mail to people who did not ask for it.

    Example:
        greeting = f"Hello {without_links(name)},"
    """
    return _SLASHES.sub(r"\1 //", _DOT.sub(r"\1 ", text))


def shows_something(text: str) -> bool:
    """Whether there is a character that can be seen: a letter, a digit, a sign."""
    return any(unicodedata.category(each)[0] not in "CZM" and each not in _BLANK for each in text)


def _spoils_a_line(character: str) -> bool:
    if " " <= character <= "~":
        return False
    category = unicodedata.category(character)
    # Tags (U+E0020 to U+E007F) are part of flags such as Wales's.
    return category in _BREAKING or (
        category == "Cf" and character not in _JOINERS and not "\U000e0020" <= character <= "\U000e007f"
    )


def _named(character: str) -> str:
    names = {"\n": "a line break", "\r": "a line break", "\t": "a tab", "\x00": "U+0000"}
    return names.get(character) or f"U+{ord(character):04X}"


# -- addresses ----------------------------------------------------------------------------------------------


def address_key(address: str) -> str:
    """An e-mail address in the one form in which two spellings of it are equal: lower case, its domain in IDNA's
    ASCII form (RFC 5891).

    Raises:
        ValueError: it is no address, or too long; the message is for people.
    """
    parsed = email_validator.validate_email(address.strip(), check_deliverability=False)  # its error is a ValueError
    # `lower` after the library's NFC: look-alikes such as the Kelvin sign are plain letters by now.
    key = f"{parsed.local_part.lower()}@{parsed.ascii_domain.lower()}"
    if len(key) > LONGEST_ADDRESS:
        raise ValueError(f"an address has {LONGEST_ADDRESS} characters at most")
    return key
