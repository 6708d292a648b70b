from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import orjson
import pytest
from pydantic import BaseModel, SecretStr

from host.web.responses.reply import dumps, header_value


class Colour(StrEnum):
    RED = "red"


class Model(BaseModel):
    secret: SecretStr
    at: datetime


@dataclass
class Point:
    x: int


NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NOON, '"2026-01-02T12:00:00Z"'),
        (NOON.replace(tzinfo=None), '"2026-01-02T12:00:00Z"'),
        (NOON.astimezone(TOKYO), '"2026-01-02T12:00:00Z"'),
        (
            [{"at": NOON.astimezone(timezone(-timedelta(hours=3))), "n": "12:30"}],
            '[{"at":"2026-01-02T12:00:00Z","n":"12:30"}]',
        ),
        ("at 12:30:00+09:00", '"at 12:30:00+09:00"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.50"), '"1.50"'),
        (Colour.RED, '"red"'),
        (float("nan"), "null"),
        (frozenset({2, 1}), "[1,2]"),
        (timedelta(seconds=90), '"PT1M30S"'),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        ({1: "a"}, '{"1":"a"}'),
        (Point(1), '{"x":1}'),
        (Model(secret=SecretStr("hush"), at=NOON), '{"secret":"**********","at":"2026-01-02T12:00:00Z"}'),
    ],
)
def test_value_when_said_in_json_then_as_the_contract_says(value: Any, text: str) -> None:
    assert dumps(value).decode() == text


def test_uuid_of_a_driver_when_said_in_json_then_text() -> None:
    class DriverUUID(UUID):
        pass

    assert orjson.loads(dumps([DriverUUID(int=1)])) == ["00000000-0000-0000-0000-000000000001"]


@pytest.mark.parametrize("value", [object(), b"bytes", {"a": object()}, 2**70])
def test_value_when_json_cannot_say_it_then_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        dumps(value)


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x=1", "a\nb", "a\x00"])
def test_header_when_an_outsider_breaks_the_line_then_refused(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        header_value("location", value)


def test_header_when_not_latin_then_utf8() -> None:
    assert header_value("x", "é") == b"\xe9"
    assert header_value("x", "日") == "日".encode()
