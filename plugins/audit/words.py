"""Words: what an entry is found by, as the house's search wants them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

MOST, LONGEST = 500, 200
_FIELDS = ("action", "resource_type", "resource_id", "outcome", "actor_label", "address", "reason", "request_id")
_WORD = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[^\W_]+", re.IGNORECASE)


def words_of(entry: Mapping[str, Any], tenant_id: UUID) -> str:
    """The words of an entry and the one that all of its tenant's share: lower-case, letters and digits, each once."""
    said = [*(entry[name] for name in _FIELDS), *(orjson.dumps(entry[name]).decode() for name in ("before", "after"))]
    words = dict.fromkeys(word.replace("-", "").lower()[:LONGEST] for word in _WORD.findall(" ".join(said)))
    return " ".join([f"t{tenant_id.hex}", *list(words)[:MOST]])
