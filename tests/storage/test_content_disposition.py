from __future__ import annotations

import pytest

from host.storage.content_disposition import content_disposition


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("report.pdf", 'filename="report.pdf"'),
        ("Zażółć.txt", "filename=\"Zazolc.txt\"; filename*=UTF-8''Za%C5%BC%C3%B3%C5%82%C4%87.txt"),
        ('a"b;c\\d.txt', "filename=\"a_b_c_d.txt\"; filename*=UTF-8''a%22b%3Bc_d.txt"),
        ("a\r\nSet-Cookie: x.txt", "filename=\"a__Set-Cookie_ x.txt\"; filename*=UTF-8''a__Set-Cookie%3A%20x.txt"),
        ("../../etc/passwd", 'filename="_.._etc_passwd"'),
        ("exe\u202efdp.txt", 'filename="exe_fdp.txt"'),
        ("100%41.txt", "filename=\"100_41.txt\"; filename*=UTF-8''100%2541.txt"),
        ("it's.txt", "filename=\"it_s.txt\"; filename*=UTF-8''it%27s.txt"),
        ("\x00", 'filename="_"'),
        ("..", 'filename="file"'),
        ("", 'filename="file"'),
        ("\ud800.txt", 'filename="_.txt"'),
    ],
)
def test_name_when_it_holds_anything_then_the_header_holds_nothing_else(name: str, header: str) -> None:
    assert content_disposition(name, inline=False, media_type="text/plain") == f"attachment; {header}"


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("image/png", True), ("IMAGE/SVG+xml", False), ("text/html", False), ("text/plain; charset=utf-8", True),
     ("text/plainer", False), ("application/pdf", True), ("application/xhtml+xml", False), ("video/mp4", True)],
)  # fmt: skip
def test_inline_when_wanted_then_only_for_media_that_cannot_run(kind: str, shown: bool) -> None:
    assert content_disposition("a", inline=True, media_type=kind).startswith("inline") is shown
