"""Refuse SMTP servers of tenants whose addresses are not on the public internet."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from host.sdk import public_addresses as host_addresses

from .contract import ProviderUnavailable, Refused

SMTP_PORTS = (25, 465, 587, 2465, 2525, 2587)
"""Ports that a tenant may connect to: 25, 465, 587 (RFC 5321, 8314, 6409) and those that large providers offer."""


async def public_addresses(host: str, port: int) -> Sequence[str]:
    """The public IP addresses of a host, as `host.sdk.public_addresses` finds them, with the errors of providers.

    Raises:
        Refused: it has addresses, and none of them is public.
        ProviderUnavailable: it has none, or the resolver does not answer; the message is the same, so that it reveals
            no internal names.
    """
    reason = f"{host} does not lead to a server on the public internet"
    try:
        addresses = await host_addresses(host, port)
    except OSError:
        raise ProviderUnavailable(reason) from None
    if not addresses:
        raise Refused(reason, permanent=True, kind="provider")
    return addresses


async def connected(host: str, port: int, seconds: float) -> socket.socket:
    """A socket connected to a public address of the host.

    Raises:
        Refused: it has no public address.
        ProviderUnavailable: none of them answers.
    """
    loop, reason = asyncio.get_running_loop(), ""
    for address in await public_addresses(host, port):
        connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            async with asyncio.timeout(seconds):
                await loop.sock_connect(connection, (address, port))
        except (OSError, TimeoutError) as error:
            connection.close()
            reason = str(error) or "no answer"
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise ProviderUnavailable(f"{host}:{port} cannot be reached ({reason})")
