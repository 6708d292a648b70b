"""HTTP endpoints behind the tracking links and the open-tracking picture in messages."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from host.sdk import Permission, Routes, Stream, open_token

from ..service import tracking
from ..service.tracking import CLICK, CLICK_PATH, OPEN, OPEN_PATH

routes = Routes()

PERMISSIONS: tuple[Permission, ...] = ()

_NEVER_KEPT: Mapping[str, str] = {"Cache-Control": "no-store, max-age=0", "X-Robots-Tag": "noindex"}
_PICTURE = bytes.fromhex(  # a GIF of one transparent pixel
    "47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b"
)


@routes.get(
    CLICK_PATH + "<token>",
    public=True,
    needs_tenant=False,
    any_tenant_state=True,
    limit_class="signed",
    effects=True,
    name="tracking.click",
    status=302,
    returns=Stream,
)
async def follow_link(token: str) -> Stream:
    """Redirect a tracked link to its target."""
    async with open_token(token, CLICK, any_tenant_state=True) as claims:
        target = claims["target"]
        await tracking.clicked(UUID(claims["message"]), target, claims.get("recipient", ""))
    return Stream(b"", "text/plain; charset=utf-8", 302, {**_NEVER_KEPT, "Location": target})


@routes.get(
    OPEN_PATH + "<token>.gif",
    public=True,
    needs_tenant=False,
    any_tenant_state=True,
    limit_class="signed",
    effects=True,
    name="tracking.open",
    returns=Stream,
)
async def show_picture(token: str) -> Stream:
    """Return the picture that counts opens."""
    async with open_token(token, OPEN, any_tenant_state=True) as claims:
        await tracking.opened(UUID(claims["message"]), claims.get("recipient", ""))
    return Stream(_PICTURE, "image/gif", headers=_NEVER_KEPT)
