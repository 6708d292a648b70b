"""What enters the log: no secret, nothing a database cannot hold, and the same when it is read again."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import orjson
import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from host.redaction import HIDDEN
from plugins.audit.plain import LONGEST_TEXT, MOST_ITEMS, plain


class Mood(StrEnum):
    GOOD = "good"


class Nested(BaseModel):
    name: str
    smtp_password: SecretStr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", "hunter2"),
        ("new_password", "hunter2"),
        ("apiKey", "abc"),
        ("reset_token", "abc"),
        ("client_secret", "abc"),
        ("Authorization", "Bearer abc"),
        ("anything", SecretStr("abc")),
        ("anything", SecretBytes(b"abc")),
        ("anything", b"abc"),
        ("note", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"),
        ("note", "tk_ahi7zdgo3fzj7a_ahi7zdgo3fzj7a_mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpj"),
    ],
)
def test_value_when_it_is_a_secret_then_is_hidden_wherever_it_stands(name: str, value: object) -> None:
    found = plain({name: value, "list": [{name: value}], "deep": {"er": {name: value}}})
    said = orjson.dumps(found).decode()
    assert HIDDEN in str(found[name])
    assert HIDDEN in str(found["list"])
    assert HIDDEN in str(found["deep"])
    for secret in ("hunter2", "abc", "dozjgNryP4J3jVmNHl0w5N", "mfrggzdfmztwq2lk"):
        assert secret not in said


def test_values_when_plain_then_are_what_they_were() -> None:
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    given = {
        "title": "Land on the moon",
        "mood": Mood.GOOD,
        "price": Decimal("12.50"),
        "id": UUID(int=7),
        "at": moment,
        "day": date(2026, 3, 4),
        "done": True,
        "nothing": None,
        "tags": ["a", "b"],
        "nested": Nested(name="x", smtp_password=SecretStr("abc")),
    }
    found = plain(given)
    assert found["title"] == "Land on the moon"
    assert (found["mood"], found["price"], found["id"]) == ("good", "12.50", str(UUID(int=7)))
    assert (found["at"], found["day"]) == ("2026-03-04T05:06:07Z", "2026-03-04")
    assert (found["done"], found["nothing"], found["tags"]) == (True, None, ["a", "b"])
    assert found["nested"] == {"name": "x", "smtp_password": HIDDEN}


def test_numbers_when_read_again_from_any_database_then_are_the_same() -> None:
    found = plain({"whole": 1e16, "zero": -0.0, "nan": float("nan"), "big": 2**70, "small": 1e-7, "huge": 1e300})
    assert orjson.dumps(found) == (
        b'{"whole":10000000000000000,"zero":0.0,"nan":null,"big":"1180591620717411303424","small":1e-7,"huge":1e+300}'
    )


def test_values_when_they_would_not_fit_then_are_cut() -> None:
    found = plain(
        {
            "text": "word " * 10_000,
            "control": "a\x00b\nc\ud800d",
            "many": list(range(1000)),
            **{f"field{number}": "x " * 600 for number in range(150)},
        }
    )
    assert len(found["text"]) <= LONGEST_TEXT + 1
    assert found["control"] == "a b c d"
    assert len(found["many"]) == MOST_ITEMS + 1
    assert len(orjson.dumps(found)) < 50_000
    deep: dict[str, object] = {}
    for _ in range(50):
        deep = {"deeper": deep}
    assert len(orjson.dumps(plain(deep))) < 200


def test_fields_when_declared_then_shown_or_hidden_whatever_they_are_called() -> None:
    link = "https://acme.example/reset/kJ3nV9xQ2mR7tY5wZ8bC1dF4gH6"
    given = {"link": link, "note": "hush", "deep": [{"page_token": "abc", "note": "hush"}], "password": "hunter2"}
    found = plain(given, public=frozenset({"link", "page_token"}), secret=frozenset({"note"}))
    assert found == {
        "link": link,
        "note": HIDDEN,
        "deep": [{"page_token": "abc", "note": HIDDEN}],
        "password": HIDDEN,
    }


def test_names_when_they_only_sound_like_secrets_then_values_stay() -> None:
    given = {"footprint": "12 m²", "tokens_used": 1500, "tokens": 3, "website": "https://acme.example/a/new-path"}
    assert plain(given) == given
