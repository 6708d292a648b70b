from __future__ import annotations

import pytest

from host.cli.column_defaults import default_argument


@pytest.mark.parametrize(
    ("default", "kind", "argument"),
    [
        ("'new'::character varying", "CharField", 'default="new"'),
        ("'it''s'", "TextField", 'default="it\'s"'),
        ("'say \"no\"'", "TextField", "default='say \"no\"'"),
        ("'a\\b'", "TextField", 'default="a\\\\b"'),
        ("(1)", "IntField", "default=1"),
        ("'-5'::integer", "BigIntField", "default=-5"),
        ("0.5", "FloatField", "default=0.5"),
        ("true", "BooleanField", "default=True"),
        ("0", "BooleanField", "default=False"),
        ("now()", "DatetimeField", "auto_now_add=True"),
        ("CURRENT_TIMESTAMP", "DatetimeField", "auto_now_add=True"),
        ("nextval('orders_id_seq'::regclass)", "IntField", ""),
        ("gen_random_uuid()", "UUIDField", ""),
        ("upper('x'::text)", "TextField", ""),
    ],
)
def test_default_when_translated_then_an_argument_or_nothing(default: str, kind: str, argument: str) -> None:
    assert default_argument(default, kind) == argument
