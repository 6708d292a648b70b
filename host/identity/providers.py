"""Read OAuth and OpenID Connect provider settings, discover their endpoints and ask who signed in."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from host.errors import BadRequest, ConfigurationError, NotFound, Unavailable
from host.identity.locales import accepted_locale
from host.outbound.errors import OutboundError
from host.services import services
from host.settings import OAuthProvider

if TYPE_CHECKING:
    import httpx2

    from host.outbound.client import PublicTransport

_log = logging.getLogger("host.identity.oauth")

TIMEOUT = 10.0  # seconds a provider may take to answer
SKEW = 60  # seconds by which clocks may differ
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_DIRECTORY = "{tenantid}"  # in the issuer of Microsoft Entra ID's metadata
_GITHUB = "api.github.com"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's endpoints and credentials. `issuer` and `jwks_url` are empty for plain OAuth 2.

    An `issuer` that serves many directories holds `{tenantid}` (Microsoft Entra ID); `tenants` are those allowed, all
    if empty. trust_email: an address counts as verified unless the provider denies it.
    """

    name: str
    client_id: str
    client_secret: str
    scopes: tuple[str, ...]
    authorize_url: str
    token_url: str
    userinfo_url: str
    issuer: str = ""
    jwks_url: str = ""
    auth_method: str = "client_secret_basic"
    trust_email: bool = False
    tenants: tuple[str, ...] = ()

    @property
    def is_common(self) -> bool:
        """Whether it signs in people of many directories."""
        return _DIRECTORY in self.issuer


@dataclass(frozen=True, slots=True)
class Person:
    """Who a provider says somebody is; `subject` is its own stable id, `email` may be empty."""

    subject: str
    email: str
    email_verified: bool
    name: str
    locale: str = ""


async def provider(name: str) -> Provider:
    """A provider from the settings `[oauth.<name>]`; with an issuer, its endpoints are read from its metadata.

    Raises:
        NotFound: this deployment has no such provider. Unavailable: its metadata cannot be read.
        ConfigurationError: an address is not https, or the metadata is another issuer's.
    """
    settings = services().settings.oauth.get(name)
    if settings is None:
        raise NotFound(f"This deployment has no sign-in with {name!r}.")
    chosen = await _discovered(name, settings) if settings.issuer else _explicit(name, settings)
    for address in (chosen.authorize_url, chosen.token_url, chosen.userinfo_url, chosen.jwks_url):
        if address and not _is_safe(address):
            raise ConfigurationError(f"oauth.{name}: {address} is not https; only a loopback address may be http")
    return chosen


@asynccontextmanager
async def client(of: Provider, redirect_uri: str, token: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
    """An OAuth 2 client for the provider, with PKCE (RFC 7636, S256); its failures become our errors.

    Raises:
        BadRequest: the provider refused. Unavailable: it did not answer.
    """
    # Not at the start, which it would slow down for deployments without a provider.
    import httpx2
    from authlib.integrations.base_client.errors import OAuthError  # type: ignore[import-untyped]
    from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

    try:
        async with AsyncOAuth2Client(
            client_id=of.client_id,
            client_secret=of.client_secret or None,
            token_endpoint_auth_method=of.auth_method if of.client_secret else "none",
            scope=" ".join(of.scopes),
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            token=dict(token) if token else None,
            timeout=None,
            transport=_transport(of.name),
        ) as session:
            yield session
    except OAuthError as error:
        raise BadRequest(f"{of.name} refused the sign-in: {error.error}") from error
    except (OutboundError, httpx2.HTTPError, ValueError) as error:
        _log.warning("oauth.%s does not answer as it should: %s", of.name, error)
        raise Unavailable(f"{of.name} does not answer as it should.") from error


async def person(of: Provider, token: Mapping[str, Any], nonce: str, session: Any) -> Person:
    """Who signed in, from the answer of the token endpoint.

    Raises:
        BadRequest: the ID token is not genuine, not for us, too old, or not of this sign-in.
    """
    claims: dict[str, Any] = {}
    if of.jwks_url:
        keys = (await _get(session, of.jwks_url)).json()
        claims = verified(str(token.get("id_token", "")), keys, of, nonce)
    if of.userinfo_url and not claims.get("email"):
        user_info = (await _get(session, of.userinfo_url)).json()
        if claims and user_info.get("sub") != claims["sub"]:
            raise BadRequest(f"{of.name} described two different people: the ID token and the user info do not match.")
        claims = {**user_info, **claims}
    if urlsplit(of.userinfo_url).hostname == _GITHUB:
        claims |= _github_address((await _get(session, f"{of.userinfo_url}/emails")).json())
    subject = str(claims.get("sub") or claims.get("id") or "")
    if subject and of.is_common:
        subject = f"{claims['tid']} {subject}"  # a subject is one person within its directory only
    if not subject:
        raise BadRequest(f"{of.name} did not say who signed in.")
    return Person(
        subject=subject,
        email=str(claims.get("email") or ""),
        email_verified=claims.get("email_verified", of.trust_email) in (True, "true"),
        name=str(claims.get("name") or claims.get("login") or ""),
        locale=accepted_locale(str(claims.get("locale") or "")),
    )


def verified(id_token: str, keys: dict[str, Any], of: Provider, nonce: str) -> dict[str, Any]:
    """The claims of an ID token, checked as OpenID Connect Core 1.0, 3.1.3.7 asks.

    Raises:
        BadRequest: it is not genuine, not for us, too old, or not of this sign-in.
    """
    try:
        claims = dict(jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS).claims)  # type: ignore[arg-type]
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        good = (
            claims["iss"] == _issuer_for(of, claims)
            and of.client_id in audience
            and (len(audience) == 1 or claims.get("azp") == of.client_id)
            and float(claims["exp"]) > time.time() - SKEW
            and claims["nonce"] == nonce
            and bool(claims["sub"])
        )
    except (JoseError, KeyError, TypeError, ValueError) as error:
        raise BadRequest(f"{of.name} sent an ID token that cannot be trusted.") from error
    if not good:
        raise BadRequest(f"{of.name} sent an ID token that is not of this sign-in.")
    return claims


def _issuer_for(of: Provider, claims: Mapping[str, Any]) -> str:
    """The issuer that the ID token must name: with the token's own directory, if that one is allowed.

    Raises:
        ValueError: the directory is not allowed.
    """
    if not of.is_common:
        return of.issuer
    directory = str(UUID(str(claims.get("tid"))))
    if of.tenants and directory not in of.tenants:
        raise ValueError(f"people of the directory {directory} may not sign in here")
    return of.issuer.replace(_DIRECTORY, directory)


def _is_issuer(named: str, issuer: str) -> bool:
    """Whether metadata found at `issuer` may call itself `named`; a common one says `{tenantid}` for its last part."""
    before, directory, after = named.rstrip("/").partition(_DIRECTORY)
    if not directory:
        return before == issuer
    word = issuer.removeprefix(before).removesuffix(after)
    return issuer == f"{before}{word}{after}" and word.isalpha()


async def _discovered(name: str, settings: OAuthProvider) -> Provider:
    """Read a provider's endpoints from its metadata (OpenID Connect Discovery 1.0, section 4)."""
    import httpx2  # not at the start, see client()

    issuer = settings.issuer.rstrip("/")
    if not _is_safe(issuer):
        raise ConfigurationError(f"oauth.{name}.issuer is not https; only a loopback address may be http")
    try:
        async with httpx2.AsyncClient(timeout=None, transport=_transport(name)) as session:
            metadata = (await _get(session, f"{issuer}/.well-known/openid-configuration")).json()
        if not _is_issuer(metadata["issuer"], issuer):
            raise ConfigurationError(f"oauth.{name}.issuer: {issuer} calls itself {metadata['issuer']}")
        if _DIRECTORY in metadata["issuer"] and settings.trust_email and not settings.tenants:
            raise ConfigurationError(
                f"oauth.{name}.trust_email: {issuer} signs in people of any directory, and whoever owns one may claim "
                f"any address there: name yours in oauth.{name}.tenants"
            )
        return Provider(
            name=name,
            client_id=settings.client_id,
            client_secret=settings.client_secret.get_secret_value(),
            scopes=tuple(settings.scopes),
            issuer=metadata["issuer"],
            authorize_url=metadata["authorization_endpoint"],
            token_url=metadata["token_endpoint"],
            userinfo_url=metadata.get("userinfo_endpoint", ""),
            jwks_url=metadata["jwks_uri"],
            auth_method=_auth_method(metadata.get("token_endpoint_auth_methods_supported", [])),
            trust_email=settings.trust_email,
            tenants=tuple(each.lower() for each in settings.tenants),
        )
    except (OutboundError, httpx2.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("the metadata of oauth.%s cannot be read: %s", name, error)
        raise Unavailable(f"The metadata of {name} cannot be read.") from error


def _explicit(name: str, settings: OAuthProvider) -> Provider:
    github = urlsplit(settings.userinfo_url).hostname == _GITHUB
    scopes = ("read:user", "user:email") if github and "user:email" not in settings.scopes else tuple(settings.scopes)
    return Provider(
        name=name,
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        scopes=scopes,
        authorize_url=settings.authorize_url,
        token_url=settings.token_url,
        userinfo_url=settings.userinfo_url,
        trust_email=settings.trust_email,
    )


def _auth_method(offered: list[str]) -> str:
    return "client_secret_post" if offered and "client_secret_basic" not in offered else "client_secret_basic"


def _github_address(addresses: list[dict[str, Any]]) -> dict[str, Any]:
    """GitHub's profile holds the public address, proved or not; the list says which is primary and verified."""
    for entry in addresses:
        if entry.get("primary") and entry.get("verified"):
            return {"email": entry["email"], "email_verified": True}
    return {"email": "", "email_verified": False}


def _transport(name: str) -> PublicTransport:
    """To the public internet, and to the hosts that the settings name: metadata may not lead further inside."""
    from host.outbound.client import PublicTransport  # not at the start, see client()

    settings = services().settings
    chosen = settings.oauth[name]
    named = (chosen.issuer, chosen.authorize_url, chosen.token_url, chosen.userinfo_url)
    hosts = {host for address in named if (host := urlsplit(address).hostname)}
    return PublicTransport(seconds=TIMEOUT, inner_networks=settings.outbound.inner_networks, trusted=hosts)


async def _get(session: httpx2.AsyncClient, address: str) -> httpx2.Response:
    answer = await session.get(address, headers={"Accept": "application/json"})
    return answer.raise_for_status()


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1"))
