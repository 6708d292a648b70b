"""Refuse mail servers of tenants that are not on the public internet."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from host.sdk import public_addresses as host_addresses

from .contract import ProviderUnavailable, Refused

SMTP_PORTS = (25, 465, 587, 2465, 2525, 2587)
"""What a tenant may connect to: 25, 465 and 587 by RFC 5321, 8314, 6409, the others as large providers offer them."""


async def public_addresses(host: str, port: int) -> Sequence[str]:
    """The public addresses of a host, as `host.sdk.public_addresses` has them, with mail's own errors.

    Raises:
        Refused: it has addresses, and none of them is public.
        Away: it has none, or the resolver does not answer; in the same words, which tell nothing of inner names.
    """
    said = f"{host} does not lead to a server on the public internet"
    try:
        found = await host_addresses(host, port)
    except OSError:
        raise ProviderUnavailable(said) from None
    if not found:
        raise Refused(said, permanent=True, kind="provider")
    return found


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
    raise ProviderUnavailable(f"{host}:{port} cannot be reached ({reason})")
