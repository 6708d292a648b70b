"""Sign in with an OAuth or OpenID Connect provider: start at the provider, finish at the callback."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tortoise.exceptions import IntegrityError

from host.data.transactions import UnitOfWork
from host.errors import BadRequest, Conflict, PermissionDenied, Unauthenticated, ValidationFailed
from host.identity import sessions
from host.identity.addresses import normalise
from host.identity.events import SignInLinked, UserRegistered
from host.identity.models import OAuthAccount, OAuthState
from host.identity.providers import Person, Provider, client, person, provider
from host.identity.recovery import ask_for_verification, is_taken
from host.identity.sessions import SignedIn
from host.identity.tokens import digest, random_token
from host.instruments import tally
from host.services import record_failure, services, unit_of_work
from tenants.models import User
from tenants.text import cut_to_line

LIFETIME = timedelta(minutes=10)
"""How long a sign-in at the provider may take."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and the secret it keeps in a cookie until it comes back."""

    url: str
    browser: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The sign-in, and the path to send the person to; empty for none."""

    signed_in: SignedIn
    return_to: str


async def begin(name: str, return_to: str = "") -> Begun:
    """Begin a sign-in with the provider `name`; the nonce and PKCE verifier are stored in the database.

    Raises:
        NotFound: no such provider. ValidationFailed: `return_to` is not a local path. Unavailable: no metadata.
    """
    _refuse_foreign_path(return_to)
    chosen = await provider(name)
    state, nonce, verifier, browser = (random_token() for _ in range(4))
    await OAuthState.create(
        provider=name,
        state_hash=digest(state),
        browser_hash=digest(browser),
        nonce=nonce,
        code_verifier=verifier,
        return_to=return_to,
        expires_at=datetime.now(UTC) + LIFETIME,
    )
    more = {"nonce": nonce} if chosen.issuer else {}
    async with client(chosen, _redirect_uri(name)) as session:
        url, _ = session.create_authorization_url(chosen.authorize_url, state=state, code_verifier=verifier, **more)
    return Begun(url, browser)


async def finish(name: str, *, state: str, code: str, browser: str, error: str = "", issuer: str = "") -> Finished:
    """Finish a sign-in: checks that it is the same browser, and the state, which works once; exchanges the code.

    issuer: the `iss` of the answer (RFC 9207); if present it must be the provider's.

    Raises:
        BadRequest: any of that is wrong, or the provider refused. Conflict: the address has an account that this
        provider cannot vouch for. PermissionDenied: registration is off. Unauthenticated: the account is disabled.
    """
    begun = await _consume(name, state, browser)
    if error or not code:
        raise BadRequest(f"{name} did not sign you in: {error or 'no code'}.")
    chosen = await provider(name)
    if issuer and chosen.issuer and not chosen.is_common and issuer != chosen.issuer:
        raise BadRequest("This answer is another provider's.")
    async with client(chosen, _redirect_uri(name)) as session:
        token = await session.fetch_token(chosen.token_url, code=code, code_verifier=begun.code_verifier)
        who = await person(chosen, token, begun.nonce, session)
    user = await _account(chosen, who)
    tenant_id = await sessions.default_tenant(user.id)
    return Finished(await sessions.start(user, method=name, tenant_id=tenant_id), begun.return_to)


# -- steps -----------------------------------------------------------------------------------------------


async def _consume(name: str, state: str, browser: str) -> OAuthState:
    """Check and delete the state. The cookie prevents a sign-in from being finished in somebody else's browser."""
    started = await OAuthState.get_or_none(state_hash=digest(state), provider=name, expires_at__gt=datetime.now(UTC))
    same_browser = started is not None and hmac.compare_digest(started.browser_hash, digest(browser))
    if started is None or not same_browser or not await OAuthState.filter(id=started.id).delete():
        raise BadRequest("This sign-in was not begun here, was finished, or took too long; begin again.")
    return started


async def _account(chosen: Provider, who: Person) -> User:
    try:
        async with unit_of_work() as work:
            user = await _linked(chosen.name, who) or await _link(work, chosen.name, who)
    except IntegrityError as error:
        raise Conflict("This sign-in was finished twice at once; begin again.") from error
    if user.disabled_at is not None:
        await _refused(chosen.name, "account disabled", user)
        raise Unauthenticated("This account is disabled.")
    if services().settings.identity.require_verified_email and user.email_verified_at is None:
        await _refused(chosen.name, "address not verified", user)
        raise PermissionDenied("Verify your e-mail address first.", details={"email": "unverified"})
    return user


async def _linked(name: str, who: Person) -> User | None:
    account = await OAuthAccount.get_or_none(provider=name, subject=who.subject).select_related("user")
    if account is None:
        return None
    user, verified_email = account.user, _verified_email(who)
    if user.email_verified_at is not None and not account.email_verified and verified_email != user.email:
        raise _not_proven(name)  # it was linked by whoever had the account before its address was proved
    changes = {"email": verified_email, "email_verified": True} if verified_email else {}
    await OAuthAccount.filter(id=account.id).update(last_used_at=datetime.now(UTC), **changes)
    return user


def _verified_email(who: Person) -> str:
    """The address that the provider says is verified; empty for none."""
    try:
        return normalise(who.email) if who.email_verified else ""
    except ValidationFailed:
        return ""


async def _link(work: UnitOfWork, name: str, who: Person) -> User:
    if not who.email:
        raise Conflict(f"{name} tells no e-mail address of this account; add one there, or register here.")
    address = normalise(who.email)
    user = await User.get_or_none(email=address)
    if user is None and await is_taken(address):
        raise Conflict("This address is kept for somebody else.", details={"email": "taken"})
    if user is None:
        user = await _register(work, name, address, who)
    elif not who.email_verified:
        raise _not_proven(name)
    elif user.email_verified_at is None:
        # Whoever registered an address without proving it must not get into what its owner does here later.
        raise Conflict(
            "This address has an account; sign in with its password, or reset it, and verify the address first.",
            details={"email": "taken"},
        )
    else:
        work.announce(
            SignInLinked(user_id=user.id, email=user.email, name=user.name, provider=name, locale=user.locale)
        )
    await OAuthAccount.create(
        user_id=user.id, provider=name, subject=who.subject, email=address, email_verified=who.email_verified
    )
    work.record("auth.oauth_account.create", "user", str(user.id), after={"provider": name})
    return user


def _not_proven(name: str) -> Conflict:
    return Conflict(
        f"This address has an account, and {name} does not say that the address is proved: sign in with the account's "
        f"password, or ask for a new one. The deployment's operator can trust {name} with `trust_email`.",
        details={"email": "taken"},
    )


async def _register(work: UnitOfWork, name: str, address: str, who: Person) -> User:
    if not services().settings.identity.registration:
        raise PermissionDenied("This deployment takes no registrations; ask for an invitation.")
    proved = datetime.now(UTC) if who.email_verified else None
    shown = cut_to_line(who.name) or address.partition("@")[0]
    language = who.locale or services().settings.identity.default_locale
    user = await User.create(email=address, name=shown, email_verified_at=proved, locale=language)
    work.record("auth.user.create", "user", str(user.id), after={"email": address, "name": shown, "provider": name})
    work.announce(UserRegistered(user_id=user.id, email=address, name=shown, provider=name, locale=user.locale))
    if proved is None:
        await ask_for_verification(work, user)
    return user


async def _refused(name: str, reason: str, user: User) -> None:
    tally("tenantry_sign_ins_total", name, reason)
    await record_failure("auth.session.create", reason, resource_type="user", resource_id=str(user.id))


def _refuse_foreign_path(return_to: str) -> None:
    """Refuse a `return_to` that is not a local path, which would make the sign-in an open redirect."""
    plain = return_to.isascii() and return_to.isprintable() and "\\" not in return_to and " " not in return_to
    if return_to and not (plain and return_to.startswith("/") and not return_to.startswith("//")):
        raise ValidationFailed(details={"return_to": "must be a path that begins with one slash"})
    if len(return_to) > 500:
        raise ValidationFailed(details={"return_to": "has 500 characters at most"})


def _redirect_uri(name: str) -> str:
    return f"{services().settings.public_url}/api/v1/auth/oauth/{name}/callback"
