"""Evaluate the conditional headers and the Range header of a request for content (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from werkzeug.http import parse_date

Headers = Mapping[bytes, bytes]
Verdict = Literal["send", "not modified", "failed"]

_RANGES = re.compile(rb"(?i:bytes)=(.*)", re.DOTALL)
_RANGE = re.compile(rb"([0-9]*)-([0-9]*)")
_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_DIGITS = 19
"""A number of more digits is larger than any file."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What a client may compare: a strong entity tag in its quotes, and the last change in whole seconds."""

    etag: bytes | None
    modified: datetime | None


def judge(headers: Headers, current: Validators) -> Verdict:
    """What the preconditions of a GET or HEAD say, in the order of RFC 9110, section 13.2.2."""
    if b"if-match" in headers:
        if not _strongly(headers[b"if-match"], current.etag):
            return "failed"
    elif _changed_after(_date(headers, b"if-unmodified-since"), current):
        return "failed"
    if b"if-none-match" in headers:
        return "not modified" if _weakly(headers[b"if-none-match"], current.etag) else "send"
    since = _date(headers, b"if-modified-since")
    return "send" if since is None or current.modified is None or current.modified > since else "not modified"


def wanted_range(headers: Headers, current: Validators, size: int) -> tuple[int, int] | Literal["unsatisfiable"] | None:
    """The bytes a GET asks for, as start and stop; None for the whole.

    A range that is no range is ignored, as is one whose If-Range is about another version, and one of several: the
    whole is then the answer, as RFC 9110, section 14.2 allows. "unsatisfiable": nothing of the file is in the range.
    """
    found = _RANGES.fullmatch(headers.get(b"range", b"").strip())
    if found is None or not _same_version(headers.get(b"if-range"), current):
        return None
    ranges = [part for part in (part.strip(b" \t") for part in found[1].split(b",")) if part]
    bounds = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if bounds is None or not (bounds[1] or bounds[2]):
        return None
    first, last = _number(bounds[1]), _number(bounds[2])
    if first is None:
        return _suffix(last or 0, size)
    if last is not None and last < first:
        return None
    if first >= size:
        return "unsatisfiable"
    return first, size if last is None else min(last + 1, size)


def _suffix(length: int, size: int) -> tuple[int, int] | Literal["unsatisfiable"] | None:
    if length == 0:
        return "unsatisfiable"
    return (max(size - length, 0), size) if size else None  # an empty file's last bytes are the empty file


def _number(digits: bytes) -> int | None:
    if not digits:
        return None
    significant = digits.lstrip(b"0")
    return 10**_DIGITS if len(significant) > _DIGITS else int(significant or b"0")


def _same_version(if_range: bytes | None, current: Validators) -> bool:
    """Whether If-Range lets the range be sent: a strong tag, or a date that is exactly the last change."""
    if if_range is None:
        return True
    if (tag := _TAG.fullmatch(if_range.strip())) is not None:
        return not tag[1] and tag[2] == current.etag
    date = parse_date(if_range.decode("latin-1"))
    if date is None or date != current.modified:
        return False
    return datetime.now(UTC) - date >= timedelta(seconds=1)  # else it may change again within that second


def _changed_after(limit: datetime | None, current: Validators) -> bool:
    return limit is not None and current.modified is not None and current.modified > limit


def _strongly(tags: bytes, etag: bytes | None) -> bool:
    if tags.strip() == b"*":
        return True
    return etag is not None and any(not weak and tag == etag for weak, tag in _TAG.findall(tags))


def _weakly(tags: bytes, etag: bytes | None) -> bool:
    if tags.strip() == b"*":
        return True
    return etag is not None and any(tag == etag for _, tag in _TAG.findall(tags))


def _date(headers: Headers, name: bytes) -> datetime | None:
    """A header's date; None when it was not sent or is no date, which is then to be ignored."""
    sent = headers.get(name)
    return None if sent is None else parse_date(sent.decode("latin-1"))
