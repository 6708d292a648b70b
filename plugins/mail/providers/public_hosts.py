"""The wall around the deployment's own network: what a tenant names as its server must be on the public internet."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

from .contract import Away, Refused

SMTP_PORTS = (25, 465, 587, 2465, 2525, 2587)
"""What a tenant may connect to: 25, 465 and 587 by RFC 5321, 8314, 6409, the others as large providers offer them."""


def is_public(address: str) -> bool:
    """Whether an IP address leads out to the internet, an IPv4 one wrapped in IPv6 judged as itself."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        wrapped = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if wrapped is not None:
            ip = wrapped
        elif ip in ipaddress.ip_network("64:ff9b::/96"):  # NAT64, RFC 6052
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.is_global and not ip.is_multicast


async def public_addresses(host: str, port: int) -> Sequence[str]:
    """The public addresses of a host; connect to one of these, never to the name, which may resolve otherwise then.

    Raises:
        Refused: it has addresses, and none of them is public.
        Away: it has none, or the resolver does not answer.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Away(f"the name {host} leads nowhere") from None
    addresses = [str(address[0]) for *_, address in found]
    public = [address for address in addresses if is_public(address)]
    if not public:
        raise Refused(f"{host} is not on the public internet", permanent=True, kind="provider")
    return public


async def connected(host: str, port: int, seconds: float) -> socket.socket:
    """A socket connected to a public address of the host.

    Raises:
        Refused: it has no public address.
        Away: none of them answers.
    """
    loop, reason = asyncio.get_running_loop(), ""
    for address in await public_addresses(host, port):
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            async with asyncio.timeout(seconds):
                await loop.sock_connect(made, (address, port))
        except (OSError, TimeoutError) as error:
            made.close()
            reason = str(error) or "no answer"
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise Away(f"{host}:{port} cannot be reached ({reason})")
