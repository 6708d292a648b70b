"""Set, read and clear the sign-in cookies, and refuse cross-site requests that would use them."""

from __future__ import annotations

from urllib.parse import urlsplit

from werkzeug.http import parse_cookie

from host.errors import BadRequest, PermissionDenied
from host.services import services
from host.web.handlers.binding import RequestFacts

NAME = "tenantry_refresh"
BROWSER = "tenantry_oauth"
"""The cookie that binds a sign-in at another provider to the browser that began it."""
DEVICE = "tenantry_device"
"""The cookie that recognises a browser that was signed in before; it grants no access."""

_PATH = "/api/v1/auth"
_DEVICE_SECONDS = 365 * 86400


def refresh(token: str) -> str:
    """The Set-Cookie value that keeps a refresh token where no script reads it and no other site sends it."""
    return _cookie(NAME, token, services().settings.identity.session_days * 86400)


def no_refresh() -> str:
    """The Set-Cookie value that deletes the refresh token."""
    return _cookie(NAME, "", 0)


def browser(token: str, seconds: int) -> str:
    """The Set-Cookie value for a sign-in at another provider; Lax, because the return comes from another site."""
    return _cookie(BROWSER, token, seconds, path=f"{_PATH}/oauth", same_site="Lax")


def device(token: str) -> str:
    """The Set-Cookie value by which this browser is recognised at the next sign-in."""
    return _cookie(DEVICE, token, _DEVICE_SECONDS)


def read(request: RequestFacts, name: str) -> str:
    """One of these cookies' values; empty when it was not sent.

    Raises:
        BadRequest: it was sent twice: another site has planted one, and nobody can tell which.
    """
    values = parse_cookie(request.headers.get("cookie", "")).getlist(_named(name))
    if len(values) > 1:
        raise BadRequest(f"The cookie {_named(name)} was sent {len(values)} times; delete this site's cookies.")
    return values[0] if values else ""


def _cookie(name: str, value: str, seconds: int, *, path: str = _PATH, same_site: str = "Strict") -> str:
    """Under https its name begins with `__Host-`: browsers let only this very host set it, for all paths.

    Plain http is for development on one's own machine, where such a cookie would not come back.
    """
    where, secure = ("/", "; Secure") if _is_secure() else (path, "")
    return f"{_named(name)}={value}; Path={where}; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}"


def _named(name: str) -> str:
    return f"__Host-{name}" if _is_secure() else name


def _is_secure() -> bool:
    settings = services().settings
    return settings.app.production or settings.public_url.startswith("https://")


def refuse_cross_site(request: RequestFacts) -> None:
    """Refuse a request that a page of another site made the browser send.

    SameSite=Strict keeps the cookie from other sites; this also refuses other hosts of our own site, unless
    `[cors] origins` names them. A browser says where a POST comes from in Sec-Fetch-Site and Origin, neither of which
    a page can forge; a client that sends neither is no browser and carries nobody else's cookies.

    Raises:
        PermissionDenied: it comes from another site.
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
