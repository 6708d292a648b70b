"""Collect the full-text search words of an audit entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from host.sdk import indexed_words

_FIELDS = ("action", "resource_type", "resource_id", "outcome", "actor_label", "address", "reason", "request_id")


def words_of(entry: Mapping[str, Any], tenant_id: UUID) -> str:
    """The words of an entry in the format of its `words` column."""
    texts = [*(entry[name] for name in _FIELDS), *(orjson.dumps(entry[name]).decode() for name in ("before", "after"))]
    return indexed_words(tenant_id, texts)
