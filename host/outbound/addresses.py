"""Tell public IP addresses from internal ones, to guard connections to hosts that callers name (SSRF)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from os import getpid

_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out of IPv6's global unicast
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; the local one of RFC 8215, 64:ff9b:1::/48, leads inside
_TUNNELS = (IPv6Network("2002::/16"), IPv6Network("2001::/32"))  # 6to4 and Teredo end wherever they say
_DOCUMENTATION = IPv6Network("3fff::/20")  # RFC 9637
_RELAYS = IPv4Network("192.88.99.0/24")  # 6to4's, given up by RFC 7526

SECONDS, MAX_BYTES, REDIRECTS = 10.0, 1024 * 1024, 5
"""What a request to an untrusted address may take, unless its caller says otherwise: `host.sdk.public_client`."""

Network = IPv4Network | IPv6Network


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet; an IPv4 address inside IPv6 (mapped, NAT64) counts as itself.

    Raises:
        ValueError: it is no IP address.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:  # a zone of this machine's
            return False
        if ip.ipv4_mapped is not None:
            return _is_public_ipv4(ip.ipv4_mapped)
        if ip in _NAT64:
            return _is_public_ipv4(IPv4Address(int(ip) & 0xFFFFFFFF))
        return ip in _UNICAST and ip.is_global and ip not in _DOCUMENTATION and not any(ip in one for one in _TUNNELS)
    return _is_public_ipv4(ip)


def _is_public_ipv4(ip: IPv4Address) -> bool:
    return ip.is_global and not ip.is_multicast and ip not in _RELAYS


@cache
def _resolving(process: int) -> ThreadPoolExecutor:
    """A process's own threads, as none survives a fork: names whose servers never answer hold up only each other."""
    return ThreadPoolExecutor(8, "resolving")


async def public_addresses(host: str, port: int, inner_networks: Sequence[Network] = ()) -> Sequence[str]:
    """The addresses of a host that are public or in one of the `inner_networks`.

    Connect to one of these, never to the name, which may resolve otherwise then.

    Answer the same whether there are none or the name is unknown: the difference would tell callers which names exist
    in the internal network.

    Raises:
        OSError: the name does not resolve.

    Example:
        addresses = await public_addresses(host, 443)
    """
    try:
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        resolved = await asyncio.get_running_loop().run_in_executor(_resolving(getpid()), ask)
    except UnicodeError:
        raise OSError(f"{host!r} is no name of a host") from None
    addresses = [str(address[0]) for *_, address in resolved]
    return [each for each in addresses if is_public(each) or any(ip_address(each) in one for one in inner_networks)]
