"""Limits as text and as values, and their windows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tenants.limits import Duration, LimitError, LimitText, LimitValue, Rate, Size, parse_limit, window


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("unlimited", LimitValue(None)),
        ("20", LimitValue(20)),
        ("0", LimitValue(0)),
        ("10,000/month", LimitValue(10_000, "month")),
        ("5/minute", LimitValue(5, "minute", 60)),
        ("5/15 minutes", LimitValue(5, "15 minutes", 900)),
        ("1/1 day", LimitValue(1, "day", 86_400)),
        ("5 GB", LimitValue(5 * 1024**3, is_size=True)),
        ("1.5 kb", LimitValue(1536, is_size=True)),
        ("50MB / week", LimitValue(50 * 1024**2, "week", 604_800, is_size=True)),
    ],
)
def test_limit_when_well_written_is_read(text, value):
    assert parse_limit(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "-1",
        "5/",
        "5/s",
        "5/fortnight",
        "5/0 minutes",
        "5/1.5 days",
        "5/2 months",
        "1.5",
        "1,5 GB",
        "5 GB GB",
    ],
)
def test_limit_when_badly_written_raises_and_says_how(text):
    with pytest.raises(LimitError, match="500/month"):
        parse_limit(text)


@given(
    st.one_of(
        st.just("unlimited"),
        st.builds(
            "{}{}{}".format,
            st.integers(0, 10**15),
            st.sampled_from(["", " KB", " MB", " B"]),
            st.sampled_from(["", "/second", "/15 minutes", "/month", "/year", "/3 weeks"]),
        ),
    )
)
def test_limit_when_written_back_reads_the_same(text):
    value = parse_limit(text)
    assert parse_limit(str(value)) == value


def test_size_when_written_back_uses_the_largest_whole_unit():
    assert [str(parse_limit(text)) for text in ("5 GB", "1536 MB", "1023 B", "0 GB", "1024")] == [
        *("5 GB", "1536 MB", "1023 B", "0 B", "1024")
    ]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Size, "1 MB", 1024**2),
        (Size, "1.5 kb", 1536),
        (Size, "7", 7),
        (Size, 5, 5),
        (Duration, "15 minutes", 900.0),
        (Duration, "1.5 hours", 5400.0),
        (Duration, "2", 2.0),
        (Duration, 0.5, 0.5),
        (Rate, "5/15 minutes", LimitValue(5, "15 minutes", 900)),
        (Rate, "unlimited", LimitValue(None)),
        (LimitText, 20, LimitValue(20)),
    ],
)
def test_type_when_written_for_people_then_read_from_json_and_from_text(kind, text, value):
    adapter = TypeAdapter(kind)
    assert adapter.validate_python(text) == value
    assert adapter.validate_json(json.dumps(text), strict=True) == value


@pytest.mark.parametrize(
    ("kind", "text", "remedy"),
    [
        (Size, "1 MiB", "500 KB"),
        (Size, "0 MB", "greater than 0"),
        (Duration, "5 months", "15 minutes"),
        (Duration, "0 minutes", "greater than 0"),
        (Duration, "soon", "15 minutes"),
        (Rate, "20", "100/minute"),
        (Rate, "0/second", "100/minute"),
        (Rate, "5 GB/day", "100/minute"),
        (Rate, "5/month", "100/minute"),
        (Rate, True, "100/minute"),
        (LimitText, ["20"], "500/month"),
    ],
)
def test_type_when_badly_written_then_says_how(kind, text, remedy):
    with pytest.raises(ValidationError, match=remedy):
        TypeAdapter(kind).validate_python(text)


def test_rate_when_shown_then_is_the_text_it_was_read_from():
    rates = TypeAdapter(dict[str, Rate])
    assert rates.dump_json(rates.validate_python({"a": "5/15 minutes"})) == b'{"a":"5/15 minutes"}'
    assert rates.json_schema()["additionalProperties"] == {"type": "string"}


@pytest.mark.parametrize(
    ("text", "now", "start", "end"),
    [
        ("1/month", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2026, 12, 1), datetime(2027, 1, 1)),
        ("1/month", datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 2, 1), datetime(2028, 3, 1)),
        (
            "1/month",
            datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 2, 1),
            datetime(2026, 3, 1),
        ),
        ("1/year", datetime(2026, 7, 4, tzinfo=UTC), datetime(2026, 1, 1), datetime(2027, 1, 1)),
        ("1/week", datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 16), datetime(2026, 11, 23)),
        ("1/day", datetime(2026, 11, 22, 13, tzinfo=UTC), datetime(2026, 11, 22), datetime(2026, 11, 23)),
    ],
)
def test_window_holds_the_moment_and_follows_the_calendar(text, now, start, end):
    assert window(parse_limit(text), now) == (start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
    st.sampled_from(["minute", "15 minutes", "week", "month", "year"]),
)
def test_windows_follow_each_other_without_gaps(moment, period):
    value = parse_limit(f"1/{period}")
    start, end = window(value, moment.replace(tzinfo=UTC))
    assert start <= moment.replace(tzinfo=UTC) < end
    assert window(value, end)[0] == end
    assert window(value, start) == (start, end)


def test_window_when_the_limit_never_renews_is_none():
    assert window(parse_limit("20"), datetime.now(UTC)) is None
