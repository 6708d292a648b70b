from __future__ import annotations

import pytest

from host.contracts import LiveMessage
from host.web.responses.server_sent_events import HEARTBEAT, frame, opening


def test_frame_when_data_is_json_then_one_line_after_id_and_event() -> None:
    assert frame(LiveMessage("note.created", {"id": 1}, "5-0")) == b'id: 5-0\nevent: note.created\ndata: {"id":1}\n\n'


def test_frame_when_text_has_lines_then_each_is_a_data_line_and_nothing_else_ends_one() -> None:
    assert frame(LiveMessage("", "a\r\nb\rc\n\nd\x0be\u2028f")) == (
        "data: a\ndata: b\ndata: c\ndata: \ndata: d\x0be\u2028f\n\n".encode()
    )


@pytest.mark.parametrize("data", ["id: 1\nevent: live.start", {"text": "\n\nevent: x"}])
def test_frame_when_data_looks_like_fields_then_it_stays_data(data: object) -> None:
    lines = frame(LiveMessage("x", data)).decode().splitlines()
    assert all(line.startswith(("event: x", "data: ")) or not line for line in lines)


@pytest.mark.parametrize("message", [LiveMessage("a\nb", 1), LiveMessage("x", 1, "1\r2"), LiveMessage("x", 1, "\0")])
def test_frame_when_a_field_would_break_then_refused(message: LiveMessage) -> None:
    with pytest.raises(ValueError):
        frame(message)


def test_opening_when_read_then_two_kilobytes_of_comment_and_when_to_come_back() -> None:
    assert len(opening(2.0)) > 2048
    assert opening(1.5).endswith(b"\nretry: 1500\n\n")
    assert HEARTBEAT == b":\n\n"
