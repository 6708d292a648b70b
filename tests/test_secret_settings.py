from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from host.errors import ValidationFailed
from host.secret_settings import MASK, decrypted, encrypted, unmasked, without_secrets


class Basic(BaseModel):
    kind: Literal["basic"] = "basic"
    user: str
    password: SecretStr


class Bearer(BaseModel):
    kind: Literal["bearer"] = "bearer"
    token: SecretBytes


class Box(BaseModel):
    name: str = "box"
    secret: SecretStr = SecretStr("")
    maybe: SecretStr | None = None
    pin: Secret[int] | None = None
    nested: Basic | None = None
    either: Basic | Bearer | None = None
    accounts: list[Basic] = []
    keys: list[SecretStr] = []
    named: dict[str, SecretStr] = {}


SENT: dict[str, Any] = {
    "secret": "s-1",
    "pin": 4711,
    "nested": {"user": "ada", "password": "s-2"},
    "either": {"kind": "bearer", "token": "s-3"},
    "accounts": [{"user": "a", "password": "s-4"}, {"user": "b", "password": "s-5"}],
    "keys": ["s-6", "s-7"],
    "named": {"x": "s-8"},
}


def backwards(text: str) -> str:
    return text[::-1]


def stored(sent: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any]:
    plain = decrypted(before or {}, backwards)
    return encrypted(Box.model_validate(unmasked(sent, Box, plain)), backwards)


def read(kept: dict[str, Any]) -> Box:
    return Box.model_validate(decrypted(kept, backwards))


def test_secrets_when_stored_then_none_stands_there_and_code_gets_them_all() -> None:
    kept = stored(SENT)
    assert not any(f"s-{number}" in str(kept) or "4711" in str(kept) for number in range(1, 9))
    assert read(kept) == Box.model_validate(SENT)
    assert kept.keys() == SENT.keys(), "defaults are not written down"
    assert without_secrets(kept)["accounts"] == [{"user": "a", "password": MASK}, {"user": "b", "password": MASK}]


def test_masks_when_everything_is_sent_as_it_is_shown_then_nothing_changes() -> None:
    kept = stored(SENT)
    shown = read(kept).model_dump(mode="json")
    assert "s-1" not in str(shown)
    assert read(stored(shown, kept)) == Box.model_validate(SENT)


def test_masks_when_others_change_or_move_then_each_item_keeps_its_own_secret() -> None:
    kept = stored(SENT)
    first, second = read(kept).model_dump(mode="json")["accounts"]
    changed = SENT | {
        "name": "other",
        "secret": MASK,
        "accounts": [second, {"user": "new", "password": "s-9"}, first],
        "named": {"x": MASK, "y": "s-10"},
    }
    found = read(stored(changed, kept))
    assert (found.name, found.secret.get_secret_value()) == ("other", "s-1")
    assert [(each.user, each.password.get_secret_value()) for each in found.accounts] == [
        *(("b", "s-5"), ("new", "s-9"), ("a", "s-4"))
    ]
    assert {name: each.get_secret_value() for name, each in found.named.items()} == {"x": "s-8", "y": "s-10"}


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"maybe": MASK}, "maybe"),
        ({"keys": [MASK]}, "keys.0"),  # which of the two?
        ({"accounts": [{"user": "c", "password": MASK}]}, "accounts.0.password"),
        ({"named": {"y": MASK}}, "named.y"),
    ],
)
def test_mask_when_it_stands_for_nothing_known_then_refused_by_its_field(sent: Any, field: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        stored(sent, stored(SENT))
    assert list(refused.value.details) == [field]


def test_mark_when_somebody_sends_it_then_refused() -> None:
    class Free(BaseModel):
        anything: dict[str, Any]

    with pytest.raises(ValidationFailed):
        encrypted(Free(anything={"$secret": "x"}), backwards)
