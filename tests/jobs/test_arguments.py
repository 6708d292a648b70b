from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from host.jobs.arguments import typed
from host.jobs.outcomes import GiveUp

if TYPE_CHECKING:
    from decimal import Decimal


class Colour(StrEnum):
    RED = "red"


async def paint(
    thing: UUID, at: datetime | None, colour: Colour = Colour.RED, extra: Any = None, **more: int
) -> None: ...


async def hidden(price: Decimal) -> None: ...


def test_typed_when_json_text_stands_for_a_type_then_given_that_type() -> None:
    text = "0192f000-0000-7000-8000-000000000001"
    got = typed(paint, {"thing": text, "at": "2026-01-02T00:00:00Z", "colour": "red", "extra": [1]})
    assert got["thing"] == UUID(text)
    assert isinstance(got["at"], datetime)
    assert got["colour"] is Colour.RED
    assert got["extra"] == [1]


@pytest.mark.parametrize("arguments", [{}, {"thing": "no", "at": None}, {"at": None}])
def test_typed_when_it_does_not_fit_then_gives_up(arguments: dict[str, Any]) -> None:
    with pytest.raises(GiveUp, match="not fit"):
        typed(paint, arguments)


def test_typed_when_a_type_is_known_to_type_checkers_only_then_taken_as_stored() -> None:
    assert typed(hidden, {"price": "1.20"}) == {"price": "1.20"}
