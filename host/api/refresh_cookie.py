"""The refresh cookie: how it is set and cleared, and what a request that uses it must show."""

from __future__ import annotations

from urllib.parse import urlsplit

from host.errors import PermissionDenied
from host.services import services
from host.web.binding import RequestFacts

NAME = "tenantry_refresh"
BROWSER = "tenantry_oauth"
"""The cookie that ties a sign-in at another provider to the browser that began it."""

_PATH = "/api/v1/auth"


def refresh(token: str) -> str:
    """The Set-Cookie value that keeps a refresh token where no script reads it and no other site sends it."""
    seconds = services().settings.identity.session_days * 86400
    return f"{NAME}={token}; Path={_PATH}; Max-Age={seconds}; HttpOnly; SameSite=Strict{_secure()}"


def no_refresh() -> str:
    """The Set-Cookie value that takes the refresh token away."""
    return f"{NAME}=; Path={_PATH}; Max-Age=0; HttpOnly; SameSite=Strict{_secure()}"


def browser(token: str, seconds: int) -> str:
    """The Set-Cookie value for the way to another provider and back; Lax: the way back begins at another site."""
    return f"{BROWSER}={token}; Path={_PATH}/oauth; Max-Age={seconds}; HttpOnly; SameSite=Lax{_secure()}"


def refuse_cross_site(request: RequestFacts) -> None:
    """Refuse a request that another site made a browser send.

    SameSite=Strict keeps the cookie from other sites; this also refuses other hosts of our own site, unless
    `[cors] origins` names them. A browser says where a POST comes from in Sec-Fetch-Site and Origin, neither of which
    a page can forge; a client that sends neither is no browser and carries nobody else's cookies.

    Raises:
        PermissionDenied: it comes from elsewhere.
    """
    origin = request.headers.get("origin", "")
    if origin and origin.rstrip("/") in (*services().settings.cors.origins, _own_origin()):
        return
    fetched = request.headers.get("sec-fetch-site", "")
    if fetched in ("same-origin", "none"):
        return
    if not fetched and (not origin or urlsplit(origin).netloc == request.headers.get("host")):
        return
    raise PermissionDenied("This request comes from another site.", details={"origin": origin})


def _own_origin() -> str:
    parts = urlsplit(services().settings.public_url)
    return f"{parts.scheme}://{parts.netloc}"


def _secure() -> str:
    """Plain http is for development on one's own machine, where a Secure cookie would not come back."""
    settings = services().settings
    return "; Secure" if settings.house.production or settings.public_url.startswith("https://") else ""
