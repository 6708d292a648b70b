"""Which addresses lead out to the internet, and which inside."""

from __future__ import annotations

from contextlib import suppress

import pytest

from host.outbound.addresses import is_public, public_addresses


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("2002:5db8:d822::1", False),
        ("2001:0:5db8:d822::1", False),
        ("64:ff9b::5db8:d822", True),
        ("64:ff9b:1::5db8:d822", False),
        ("::127.0.0.1", False),
        ("::93.184.216.34", False),
        ("::ffff:0:93.184.216.34", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:100.64.0.1", False),
        ("fec0::1", False),
        ("fe80::1", False),
        ("100::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("2606:2800:220:1:248:1893:25c8:1946%1", False),
        ("0.1.2.3", False),
        ("192.0.0.1", False),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
        ("239.1.1.1", False),
        ("240.0.0.1", False),
    ],
)
def test_address_when_judged_then_only_the_public_internet_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "::1"])
async def test_host_when_it_leads_inside_however_it_is_written_then_none_of_its_addresses(host: str) -> None:
    assert await public_addresses(host, 25) == []


@pytest.mark.parametrize("host", ["[::1]", "no-such-name.invalid", "a" * 64, "\u2488", ""])
async def test_host_when_it_is_no_name_then_os_error_or_nothing(host: str) -> None:
    with suppress(OSError):
        assert await public_addresses(host, 25) == []
