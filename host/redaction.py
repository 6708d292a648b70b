"""Redaction: what is never shown of stored values: secrets by their name, tokens and links by their looks.

The rule, for arguments of jobs, messages of errors and what leaves the house in incident reports:

1. A value under a name that speaks of a secret (password, token, api_key, signature, ...) is hidden whole, whatever
   it is.
2. In any text an address on the web is cut after its host, since paths and queries carry tokens; what looks like a
   token, a key, a credential in an Authorization header or a PEM block is hidden where it stands.
3. What is long is cut: text after 500 characters, lists and objects after 50 items, nesting after 6 levels.

Ids (UUIDs), numbers, times and e-mail addresses stay: without them nobody finds anything. `anonymous` also takes out
e-mail and network addresses and quoted values, for what leaves the house.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice

HIDDEN = "•••"
"""What stands in the place of what is not shown."""

_NAMES = (
    *("password", "passwd", "passphrase", "secret", "token", "authorization", "cookie", "credential", "signature"),
    *("apikey", "privatekey", "accesskey", "signingkey", "encryptionkey", "jwt", "bearer", "onetime", "otp", "dsn"),
)
_WHOLE_NAMES = frozenset({"key", "code", "pin", "link", "url", "pass", "pwd", "auth", "session"})
ENCRYPTED = "$encrypted"
"""The only key of a JSON object that stands for an encrypted text."""

_LONGEST, _MOST, _DEEPEST = 500, 50, 6

_LINK = re.compile(r"\b([a-z][a-z0-9+.\-]{1,20}://)(?:[^\s/?#@\"'<>]*@)?([^\s/?#\"'<>@]*)[^\s\"'<>]*", re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL)
_SCHEME = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{8,}", re.IGNORECASE)
_PAIR = re.compile(r"(?i)\b((?:password|passwd|secret|token|api_?key|signature)\w*\s*[=:]\s*)[^\s,;&]+")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]*\.?[A-Za-z0-9_\-]*")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OPAQUE = re.compile(r"(?<![A-Za-z0-9_\-])[A-Za-z0-9_\-+/.=]{20,}")
_MIXED = re.compile(r"[A-Za-z]\d+[A-Za-z]|\d[A-Za-z]+\d|[a-z][A-Z]+[a-z]+[A-Z]")
_EMAIL = re.compile(r"[^\s@<>\"'(),;:=]+@[^\s@<>\"'(),;]+\.[^\s@<>\"'(),;]+")
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}\b", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|=\([^)]*\)")


def is_secret(name: str) -> bool:
    """Whether what goes by this name is a secret: `api_key`, `resetToken`, `client-secret`, `Set-Cookie`."""
    plain = _plain(name)
    return any(word in plain for word in _NAMES)


def redacted(value: object, name: str = "", depth: int = 0) -> object:
    """A JSON-able value as it may be shown; `name` is what it goes by."""
    if _hides(name) and value not in (None, "", True, False):
        return HIDDEN
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        if value.keys() == {ENCRYPTED}:
            return HIDDEN
        if depth >= _DEEPEST:
            return HIDDEN
        shown = {
            str(redacted(str(key))): redacted(each, str(key), depth + 1) for key, each in islice(value.items(), _MOST)
        }
        return shown | ({"…": f"{len(value) - _MOST} more"} if len(value) > _MOST else {})
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        if depth >= _DEEPEST:
            return HIDDEN
        items = [redacted(each, name, depth + 1) for each in islice(value, _MOST)]
        return [*items, f"… {len(value) - _MOST} more"] if len(value) > _MOST else items
    return HIDDEN if isinstance(value, bytes | bytearray) else value


def redacted_text(text: str, longest: int = _LONGEST) -> str:
    """A text with its links cut after the host and what looks like a token hidden."""
    cut = len(text) > longest
    text = text[: longest + 200]  # a token that begins before the cut is seen whole enough to be known as one
    text = _PEM.sub(HIDDEN, text)
    text = _LINK.sub(lambda link: f"{link[1]}{link[2]}/{HIDDEN}", text)
    text = _SCHEME.sub(lambda found: f"{found[1]} {HIDDEN}", text)
    text = _PAIR.sub(lambda found: f"{found[1]}{HIDDEN}", text)
    text = _JWT.sub(HIDDEN, text)
    text = _OPAQUE.sub(lambda found: HIDDEN if _is_token(found[0]) else found[0], text)
    return f"{text[:longest]}…" if cut or len(text) > longest else text


def anonymous(text: str) -> str:
    """The first line of a text without anything of a person in it: for what leaves the house."""
    line = text.strip().partition("\n")[0]
    line = _QUOTED.sub(HIDDEN, redacted_text(line, 300))
    return _ADDRESS.sub(HIDDEN, _EMAIL.sub(HIDDEN, line))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _hides(name: str) -> bool:
    return is_secret(name) or _plain(name) in _WHOLE_NAMES


def _is_token(word: str) -> bool:
    """Whether 20 and more characters without a space are a token, and not a name, a path, an id or a time.

    A token mixes letters with digits, or cases, within one of its parts: `report-2026-final-version` does not.
    """
    for piece in re.split(r"[/=+.]", _UUID.sub("", word)):
        if len(piece) >= 20 and any(_MIXED.search(part) for part in re.split(r"[_\-]", piece)):
            return True
    return False
