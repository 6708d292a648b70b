"""Hide passwords, tokens, keys and links in values that are shown or logged.

What a field is, its owner declares: `Secret` and `Public` in events, `SecretStr` anywhere, `public` of a task and of
`record`, `secret` of `record`. Only what is undeclared is guessed at, in arguments of jobs, values of actions, messages
of errors and what leaves the host in error reports:

1. A value under a name with a word for a secret (password, token, api_key, signature, ...) is hidden whole, unless
   other words say that it is only about one (`tokens_used`, `token_type`, `password_changed_at`).
2. In any text, what looks like a token, a key, a credential in an Authorization header or a PEM block is hidden where
   it stands. Of a web link the path is hidden where a part of it looks like a token or names what grants access, such
   as `reset`, and those values of its query that do; of other addresses (databases, caches) all after the host.
3. What is long is cut: text after 500 characters, lists and objects after 50 items, nesting after 6 levels.

Ids (UUIDs), numbers, times and e-mail addresses stay: without them nobody finds anything. `anonymous` also takes out
e-mail and network addresses and quoted values, for what leaves the host.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from typing import Literal

HIDDEN = "•••"
"""Shown in place of a hidden value.

Example:
    shown = HIDDEN if is_secret(name) else value
"""

_SECRETS = frozenset({
    *("password", "passwords", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets", "token", "tokens"),
    *("authorization", "cookie", "cookies", "credential", "credentials", "signature", "signatures", "sig", "bearer"),
    *("apikey", "apikeys", "jwt", "otp", "totp", "dsn"),
})  # fmt: skip
_PAIRS = frozenset({
    *(("api", "key"), ("private", "key"), ("access", "key"), ("signing", "key"), ("encryption", "key")),
    *(("api", "keys"), ("private", "keys"), ("one", "time"), ("set", "cookie"), ("recovery", "codes"), ("otp", "code")),
})  # fmt: skip
_ABOUT = frozenset({
    *("at", "on", "age", "algorithm", "budget", "consent", "cost", "count", "counts", "enabled", "expires", "expiry"),
    *("length", "limit", "limits", "max", "min", "policy", "price", "required", "total", "type", "usage", "used"),
    *("version", "seconds", "minutes", "hours", "days", "per"),
})  # fmt: skip
"""Words that make a name speak about a secret instead of holding one."""
_ASKED = frozenset({"has", "is", "max", "min", "num"})
_RUN_TOGETHER = ("password", "passwd", "token", "secret", "apikey", "privatekey", "secretkey", "accesskey", "signature")
_WHOLE_NAMES = frozenset({"key", "code", "pin", "pass", "pwd", "auth", "session", "link", "url"})
_OPENS = frozenset({
    *("reset", "verify", "verification", "confirm", "confirmation", "invite", "invites", "invitation", "invitations"),
    *("activate", "activation", "magic", "login", "signin", "unsubscribe", "token", "tokens", "oauth", "webhook"),
    *("webhooks", "hook", "hooks", "callback", "share", "password"),
})  # fmt: skip
"""Words in the path of a link that grants access to whoever has it."""
_CARRIERS = frozenset({"t", "k", "s", "sig", "key", "code", "state", "auth", "hash", "hmac", "ticket", "nonce"})
ENCRYPTED = "$encrypted"
"""The only key of a JSON object that stands for an encrypted text."""

_LONGEST, _MOST, _DEEPEST = 500, 50, 6

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LINK = re.compile(r"\b([a-z][a-z0-9+.\-]{1,20}://)(?:[^\s/?#@\"'<>]*@)?([^\s/?#\"'<>@,]*)([^\s\"'<>]*)", re.IGNORECASE)
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


def is_secret(name: str, value: object = None) -> bool:
    """Whether what goes by this name is a secret: `api_key`, `resetToken`, `client-secret`, `Set-Cookie`.

    value: the value itself; a number under `tokens` is how many there were.

    Example:
        hidden = [name for name, value in headers.items() if is_secret(name, value)]
    """
    meaning = _said_by(name)
    return meaning == "secret" or (meaning == "tokens" and not isinstance(value, int | float))


@lru_cache(4096)
def _said_by(name: str) -> Literal["secret", "tokens", ""]:
    words = _words(name)
    if not words or words[-1] in _ABOUT or (words[0] in _ASKED and len(words) > 1):
        return ""
    secret_words = [word for word in words if word in _SECRETS or word.endswith(_RUN_TOGETHER)]
    if secret_words == ["tokens"]:
        return "tokens" if words[-1] == "tokens" else ""
    return "secret" if secret_words or any(pair in _PAIRS for pair in pairwise(words)) else ""


def redacted(value: object, name: str = "", depth: int = 0, *, public: Collection[str] = ()) -> object:
    """A JSON-able value as it may be shown; `name` is what it goes by. public: names whose values are no secrets."""
    if name in public:
        return value[:_LONGEST] if isinstance(value, str) else value
    if _hides(name, value) and value not in (None, "", True, False):
        return HIDDEN
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        if value.keys() == {ENCRYPTED} or depth >= _DEEPEST:
            return HIDDEN
        shown = {
            str(redacted(str(key))): redacted(inner, str(key), depth + 1, public=public)
            for key, inner in islice(value.items(), _MOST)
        }
        return shown | ({"…": f"{len(value) - _MOST} more"} if len(value) > _MOST else {})
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        if depth >= _DEEPEST:
            return HIDDEN
        items = [redacted(inner, name, depth + 1, public=public) for inner in islice(value, _MOST)]
        return [*items, f"… {len(value) - _MOST} more"] if len(value) > _MOST else items
    return HIDDEN if isinstance(value, bytes | bytearray) else value


def redacted_text(text: str, longest: int = _LONGEST) -> str:
    """A text with what looks like a token hidden, in its links too.

    Example:
        reason = redacted_text(str(error))
    """
    cut = len(text) > longest
    text = text[: longest + 200]  # a token that begins before the cut is seen whole enough to be known as one
    text = _PEM.sub(HIDDEN, text)
    text = _LINK.sub(_shown_link, text)
    text = _SCHEME.sub(lambda found: f"{found[1]} {HIDDEN}", text)
    text = _PAIR.sub(lambda found: f"{found[1]}{HIDDEN}", text)
    text = _JWT.sub(HIDDEN, text)
    text = _OPAQUE.sub(lambda found: HIDDEN if _is_token(found[0]) else found[0], text)
    return f"{text[:longest]}…" if cut or len(text) > longest else text


def anonymous(text: str) -> str:
    """The first line of a text without anything of a person in it: for what leaves the host."""
    line = _LINK.sub(lambda link: f"{link[1]}{link[2]}/{HIDDEN}", text.strip().partition("\n")[0])
    line = _QUOTED.sub(HIDDEN, redacted_text(line, 300))
    return _ADDRESS.sub(HIDDEN, _EMAIL.sub(HIDDEN, line))


@lru_cache(4096)
def _words(name: str) -> tuple[str, ...]:
    """The words of a name, however it is put together: snake_case, kebab-case, camelCase."""
    return tuple(word.lower() for word in _WORDS.findall(name))


def _hides(name: str, value: object) -> bool:
    words = _words(name)
    if words in {("link",), ("url",)} and isinstance(value, str) and value.startswith(("https://", "http://")):
        return False  # the value decides, not the name
    return is_secret(name, value) or "".join(words) in _WHOLE_NAMES


def _shown_link(link: re.Match[str]) -> str:
    """A link without its user name and password, and without the parts of path and query that grant access."""
    scheme, host, rest = link[1], link[2], link[3]
    path, mark, query = rest.partition("?")
    opens = any(word in _OPENS for word in _words(path)) or any(map(_opens, re.split(r"[/#]", path)))
    if not scheme.lower().startswith("http") or opens:
        return f"{scheme}{host}/{HIDDEN}"
    pairs = (pair.partition("=") for pair in query.split("&")) if mark else ()
    shown = [f"{name}={HIDDEN}" if _carries(name, value) else f"{name}{equal}{value}" for name, equal, value in pairs]
    return f"{scheme}{host}{path}{mark}{'&'.join(shown)}"


def _carries(name: str, value: str) -> bool:
    words = _words(name)
    return bool(words) and (words[-1] in _CARRIERS or is_secret(name) or _opens(value) or _opens(name))


def _opens(piece: str) -> bool:
    """Whether a piece of a link is a token; shorter ones than elsewhere, since links are made short."""
    plain = _UUID.sub("", piece)
    return _is_token(plain) or any(len(part) >= 8 and _MIXED.search(part) for part in re.split(r"[^A-Za-z0-9]", plain))


def _is_token(word: str) -> bool:
    """Whether 20 and more characters without a space are a token, and not a name, a path, an id or a time.

    A token mixes letters with digits, or cases, within one of its parts: `report-2026-final-version` does not.
    """
    for piece in re.split(r"[/=+.]", _UUID.sub("", word)):
        if len(piece) >= 20 and any(_MIXED.search(part) for part in re.split(r"[_\-]", piece)):
            return True
    return False
