"""Whose request it is, whatever the proxies in front write."""

from __future__ import annotations

import pytest

from host.client_address import client_address, counted_as


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("203.0.113.7:41001", "203.0.113.7"),
        ("203.0.113.7", "203.0.113.7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("[2001:DB8:0::7]", "2001:db8::7"),
        ("2001:db8:0:0::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
        (' "203.0.113.7" ', "203.0.113.7"),
    ],
)
def test_address_when_a_proxy_writes_it_in_its_way_then_it_is_one(written: str, address: str) -> None:
    assert client_address("10.0.0.1", [written.encode()], 1) == address


@pytest.mark.parametrize(
    "rubbish",
    [
        "unknown",
        "_hidden",
        "203.0.113.7:port",
        "203.0.113.7:99999",
        "[2001:db8::7",
        "1.2.3",
        "evil.example",
        "0x7f.1",
        ",",
    ],
)
def test_address_when_it_is_none_then_the_proxy_that_wrote_it_is_taken(rubbish: str) -> None:
    assert client_address("10.0.0.1", [rubbish.encode()], 1) == "10.0.0.1"


def test_address_when_in_several_lines_then_they_are_one_list() -> None:
    lines = [b"198.51.100.1, 203.0.113.7:1", b"10.0.0.2"]
    assert client_address("10.0.0.1", lines, 1) == "10.0.0.2"
    assert client_address("10.0.0.1", lines, 2) == "203.0.113.7"
    assert client_address("10.0.0.1", lines, 9) == "198.51.100.1"


def test_address_when_no_proxy_is_believed_then_the_peer() -> None:
    assert client_address("::ffff:10.0.0.1", [b"1.1.1.1"], 0) == "10.0.0.1"
    assert client_address("", [b"1.1.1.1"], 0) == ""
    assert client_address("/run/app.sock", [], 0) == "/run/app.sock"


def test_address_when_counted_then_ipv6_by_its_network() -> None:
    assert counted_as("2001:db8:1:2:aaaa::1") == counted_as("2001:db8:1:2:bbbb::2") == "2001:db8:1:2::/64"
    assert counted_as("2001:db8:1:3::1") != counted_as("2001:db8:1:2::1")
    assert counted_as("203.0.113.7") == "203.0.113.7"
    assert counted_as("") == ""
