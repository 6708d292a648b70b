"""What is never shown of stored values, and what must stay to be of use."""

from __future__ import annotations

import pytest

from host.redaction import HIDDEN, anonymous, is_secret, redacted, redacted_text

UUID = "01a1fc78-de0e-7612-9266-fa23a6dd557a"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
TOKEN = "kJ3nV9xQ2mR7tY5wZ8bC1dF4gH6"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "resetToken",
        "api-key",
        "API_KEY",
        "client_secret",
        "Set-Cookie",
        "x-signature",
        "otp",
    ],
)
def test_name_when_it_speaks_of_a_secret_then_its_value_is_hidden_whatever_it_is(name: str) -> None:
    assert is_secret(name)
    assert redacted({name: "a"}) == {name: HIDDEN}
    assert redacted({name: ["a", {"b": 1}]}) == {name: HIDDEN}
    assert redacted({name: None}) == {name: None}


@pytest.mark.parametrize("name", ["link", "url", "code", "key", "session", "pin"])
def test_name_when_it_holds_what_gives_access_then_its_value_is_hidden(name: str) -> None:
    assert redacted({name: "short"}) == {name: HIDDEN}


@pytest.mark.parametrize(
    "value",
    [
        UUID, "2026-11-21T04:59:02.031107+00:00", "ada@example.com", "projects.projects.create", "Land on the moon",
        "file:report-2026-final-version.pdf", "en-GB", 42, 1.5, True, None, "/var/lib/tenantry/files/2026/report.pdf",
        "duplicate_key_value_violates_unique_constraint", "Donaudampfschifffahrtsgesellschaft",
    ],
)  # fmt: skip
def test_value_when_it_says_what_the_job_is_about_then_it_stays(value: object) -> None:
    assert redacted({"thing": value}) == {"thing": value}


@pytest.mark.parametrize(
    "token", [JWT, TOKEN, f"tnt_{TOKEN}", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c", f"{UUID}.{TOKEN}"]
)
def test_text_when_it_holds_a_token_then_it_is_hidden_and_the_rest_stays(token: str) -> None:
    shown = redacted_text(f"could not deliver {token} to ada@example.com")
    assert token not in shown
    assert TOKEN not in shown
    assert shown.startswith(f"could not deliver {HIDDEN}")
    assert shown.endswith(" to ada@example.com")


def test_text_when_it_holds_a_link_then_only_its_host_stays() -> None:
    shown = redacted_text("see https://ada:hush@app.example.com/reset/abc?t=1#x or redis://:pw@cache:6379/0, thanks")
    assert shown == f"see https://app.example.com/{HIDDEN} or redis://cache:6379/{HIDDEN} thanks"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefgh12", "token=hush-hush", "password: hush-hush", "api_key = hush-hush;",
        "-----BEGIN PRIVATE KEY-----\nhush-hush\n-----END PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_text_when_it_names_a_secret_then_the_secret_is_hidden(text: str) -> None:
    shown = redacted_text(f"failed with {text}")
    assert "hush" not in shown
    assert "abcdefgh" not in shown
    assert HIDDEN in shown


def test_value_when_it_is_nested_then_looked_through_to_the_bottom() -> None:
    given = {"event": {"email": "a@b.example", "token": "x", "items": [{"link": "y", "n": 1}]}, "raw": b"bytes"}
    assert redacted(given) == {
        "event": {"email": "a@b.example", "token": HIDDEN, "items": [{"link": HIDDEN, "n": 1}]},
        "raw": HIDDEN,
    }


def test_value_when_it_is_giant_then_the_answer_is_bounded() -> None:
    shown = redacted({"text": "word " * 10_000, "rows": list(range(1000)), **{f"k{n}": n for n in range(100)}})
    assert isinstance(shown, dict)
    assert len(shown["text"]) == 501
    assert shown["rows"][-1] == "… 950 more"
    assert shown["…"] == "52 more"
    deep: dict[str, object] = {}
    for _ in range(1000):
        deep = {"a": deep}
    assert str(redacted(deep)).count("'a'") == 6


def test_text_when_a_token_stands_across_the_cut_then_none_of_it_is_shown() -> None:
    assert TOKEN[:8] not in redacted_text("word " * 99 + f" {TOKEN}")


def test_key_when_an_outsider_chose_it_then_it_is_looked_at_too() -> None:
    assert TOKEN not in str(redacted({TOKEN: 1}))


def test_line_when_it_leaves_the_host_then_nobody_is_in_it() -> None:
    text = (
        "duplicate key value violates unique constraint \"users_email\" for 'Ada' (a@b.example, 10.1.2.3, fe80:0:0:1)\n"
        "DETAIL:  Key (email)=(ada@example.com) already exists."
    )
    line = anonymous(text)
    assert line.startswith("duplicate key value violates unique constraint")
    for person in ("Ada", "a@b", "10.1.2.3", "fe80", "ada@"):
        assert person not in line
    assert anonymous("KeyError: Key (email)=(Ada) gone") == f"KeyError: Key (email){HIDDEN} gone"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "footprint",
            "tokens_used",
            "tokenizer",
            "token_count",
            "max_tokens",
            "inputTokensDetails",
            "password_policy",
        ),
        *("password_changed_at", "keyboard", "has_password", "token_type", "cookie_consent", "authorship", "pinned"),
    ],
)
def test_name_when_it_only_sounds_like_a_secret_then_its_value_stays(name: str) -> None:
    assert not is_secret(name)
    assert redacted({name: "a"}) == {name: "a"}


@pytest.mark.parametrize("name", ["accessToken", "newpassword", "APIKEY", "X-Api-Key", "smtp_password_hash", "tokens"])
def test_name_when_a_secret_is_one_of_its_words_then_hidden(name: str) -> None:
    assert redacted({name: "a"}) == {name: HIDDEN}


def test_number_when_it_counts_tokens_then_it_stays() -> None:
    assert redacted({"tokens": 1500, "otp": 123456}) == {"tokens": 1500, "otp": HIDDEN}


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://acme.example/docs/new-path?page=2#top", "https://acme.example/docs/new-path?page=2#top"),
        (f"https://acme.example/tasks/{UUID}", f"https://acme.example/tasks/{UUID}"),
        ("https://ada:pw@acme.example/a", "https://acme.example/a"),
        (f"https://acme.example/d/{TOKEN}/x", f"https://acme.example/{HIDDEN}"),
        ("https://acme.example/s/a8Kd93Lq", f"https://acme.example/{HIDDEN}"),
        ("https://acme.example/password/reset/abc", f"https://acme.example/{HIDDEN}"),
        ("https://hooks.acme.example/webhooks/abc", f"https://hooks.acme.example/{HIDDEN}"),
        ("https://acme.example/a?page=2&sig=abc&token=d", f"https://acme.example/a?page=2&sig={HIDDEN}&token={HIDDEN}"),
        (f"https://acme.example/a?x={TOKEN}", f"https://acme.example/a?x={HIDDEN}"),
        ("postgres://u:p@db:5432/name", f"postgres://db:5432/{HIDDEN}"),
    ],
)
def test_link_when_its_path_is_what_changed_then_it_stays_unless_it_gives_access(link: str, shown: str) -> None:
    assert redacted_text(f"to {link} now") == f"to {shown} now"
    assert redacted({"website": link}) == {"website": shown}
    assert redacted({"url": link}) == {"url": shown if link.startswith("http") else HIDDEN}


def test_value_when_declared_public_then_shown_as_it_is() -> None:
    given = {"event": {"page_token": TOKEN, "token": TOKEN}}
    assert redacted(given, public=("page_token",)) == {"event": {"page_token": TOKEN, "token": HIDDEN}}
