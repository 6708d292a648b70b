"""Read a client's IP address from the connection and X-Forwarded-For, and the network that rates count."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

HOME = 64
"""Bits of an IPv6 address that identify a subscriber's network (RFC 6177); the other bits cost nothing to change."""


@lru_cache(maxsize=4096)  # few peers and clients, each in many requests
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: with a port, in brackets, mapped into IPv6, with a zone; None for all else."""
    plain = text.strip().strip('"')
    if plain.startswith("["):
        plain, bracket, port = plain[1:].partition("]")
        if not bracket or (port and not _is_port(port)):
            return None
    elif plain.count(":") == 1:
        plain, _, port = plain.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        address = ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def client_address(peer: str, forwarded: Iterable[bytes], proxies: int) -> str:
    """The client's address, as text of at most 64 characters; "" where the connection has no address.

    peer: the other end of the connection. forwarded: the values of all X-Forwarded-For lines, in order; Forwarded (RFC
    7239) is not believed. proxies: how many steps back through them are believed; where one is no address, the proxy
    that wrote it is taken.
    """
    nearest = parse_address(peer)
    chain = [part for line in forwarded for part in line.decode("latin-1").split(",") if part.strip()]
    for entry in reversed(chain[-proxies:] if proxies else ()):
        further = parse_address(entry)
        if further is None:
            break
        nearest = further
    return str(nearest) if nearest is not None else peer[:64]


def counted_as(address: str) -> str:
    """The key by which attempts and requests are counted: the address, or for IPv6 its /64 network."""
    parsed = parse_address(address)
    return str(ip_network((parsed, HOME), strict=False)) if isinstance(parsed, IPv6Address) else address


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isascii() and text[1:].isdigit() and int(text[1:]) < 65536
