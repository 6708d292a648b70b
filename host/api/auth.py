"""`/auth` endpoints: register, sign in and out, refresh tokens, reset passwords, verify addresses, use OAuth."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from host.api import refresh_cookie
from host.api.tenant import shape as tenant_shape
from host.contracts import Accepted, Actor, Answer, Row
from host.errors import Unauthenticated
from host.identity import accounts, oauth, recovery, sessions
from host.identity.devices import device_token
from host.identity.locales import accepted_locale
from host.identity.sessions import SignedIn
from host.input_types import Name
from host.provisioning import provisioning
from host.services import services
from host.web.handlers.binding import RequestFacts
from host.web.routes import Routes
from tenants.models import Tenant, User

routes = Routes()

Address = Annotated[str, StringConstraints(max_length=320)]
Secret = Annotated[str, StringConstraints(max_length=1024)]


class Registration(BaseModel):
    """A person to register, and the organisation to create with them, if any."""

    model_config = ConfigDict(extra="forbid")
    email: Address
    password: Secret
    name: Name
    tenant_name: Name | None = None


class Credentials(BaseModel):
    """The e-mail address and password to sign in with."""

    model_config = ConfigDict(extra="forbid")
    email: Address
    password: Secret


class AddressOnly(BaseModel):
    """An e-mail address."""

    model_config = ConfigDict(extra="forbid")
    email: Address


class Verification(BaseModel):
    """Either the token that was sent, which proves the address, or the address, to which a new token is sent."""

    model_config = ConfigDict(extra="forbid")
    token: Secret | None = None
    email: Address | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.token is None) == (self.email is None):
            raise ValueError("send either token or email")
        return self


class Reset(BaseModel):
    """The token from the message, and the new password."""

    model_config = ConfigDict(extra="forbid")
    token: Secret
    password: Secret


class PasswordChange(BaseModel):
    """The current and the new password; the API keys I made are revoked unless `keep_api_keys` is true."""

    model_config = ConfigDict(extra="forbid")
    current_password: Secret
    new_password: Secret
    keep_api_keys: bool = False


class Start(BaseModel):
    """The path to go to after the sign-in, such as `/welcome`; empty: the tokens are answered as JSON."""

    model_config = ConfigDict(extra="forbid")
    return_to: str = ""


class Callback(BaseModel):
    """The parameters that a provider sends back (RFC 6749, 4.1.2; RFC 9207); providers add others of their own."""

    model_config = ConfigDict(extra="allow")
    state: str = ""
    code: str = ""
    error: str = ""
    iss: str = ""


def person(user: User) -> Row:
    """A user's own profile as the API shows it."""
    fields = (
        "id",
        "email",
        "name",
        "locale",
        "email_verified_at",
        "is_operator",
        "version",
        "created_at",
        "updated_at",
    )
    return {field: getattr(user, field) for field in fields} | {"has_password": user.password_hash is not None}


async def tokens(signed_in: SignedIn) -> Row:
    """The answer to a sign-in: the user, their default organisation and the access token."""
    tenant = await Tenant.get_or_none(id=signed_in.tenant_id) if signed_in.tenant_id else None
    return {
        "user": person(signed_in.user),
        "tenant": tenant_shape(tenant) if tenant else None,
        "access_token": signed_in.access_token,
        "token_type": "Bearer",
        "expires_in": signed_in.expires_in,
    }


async def _answer(signed_in: SignedIn) -> Answer:
    return Answer(await tokens(signed_in), cookies=(refresh_cookie.refresh(signed_in.refresh_token),))


def _begun(signed_in: SignedIn) -> tuple[str, str]:
    """The cookies to set after a sign-in: the refresh token, and the token by which this browser is recognised."""
    device_cookie = refresh_cookie.device(device_token(signed_in.user.id))
    return refresh_cookie.refresh(signed_in.refresh_token), device_cookie


@routes.post("/auth/register", name="auth.register", public=True, needs_tenant=False, status=201)
async def register(body: Registration, request: RequestFacts) -> Answer:
    """Create an account, with an organisation of its own if `tenant_name` is given, and sign in.

    Where this deployment requires a verified address first, the answer is 202, whether or not the address was new.
    """

    async def make_tenant(name: str, owner: User) -> Tenant:
        return await provisioning().create_own(name, owner)

    signed_in = await accounts.register(
        email=body.email,
        password=body.password,
        name=body.name,
        tenant_name=body.tenant_name,
        make_tenant=make_tenant,
        locale=accepted_locale(request.headers.get("accept-language", "")),
    )
    if signed_in is None:
        return Answer({"verification": "sent"}, 202)
    return Answer(await tokens(signed_in), 201, headers={"Location": "/me"}, cookies=_begun(signed_in))


@routes.post("/auth/login", name="auth.login", public=True, needs_tenant=False)
async def login(body: Credentials, request: RequestFacts) -> Answer:
    """Sign in.

    Start a session: the access token is in the body, the refresh token in a cookie that scripts cannot read.
    """
    device = refresh_cookie.read(request, refresh_cookie.DEVICE)
    signed_in = await accounts.sign_in(email=body.email, password=body.password, device=device)
    return Answer(await tokens(signed_in), cookies=_begun(signed_in))


@routes.post("/auth/refresh", name="auth.refresh", public=True, needs_tenant=False)
async def refresh(request: RequestFacts) -> Answer:
    """Renew the access token.

    Exchange the refresh cookie for an access token and a new refresh cookie; a used one ends the session.
    """
    refresh_cookie.refuse_cross_site(request)
    token = refresh_cookie.read(request, refresh_cookie.NAME)
    try:
        return await _answer(await sessions.rotate(token))
    except Unauthenticated as error:
        error.headers["Set-Cookie"] = refresh_cookie.no_refresh()
        raise


@routes.post("/auth/logout", name="auth.logout", public=True, needs_tenant=False)
async def logout(request: RequestFacts, actor: Actor) -> Answer:
    """Sign out.

    End the session of the refresh cookie, or else of the access token; succeeds without a session too.
    """
    refresh_cookie.refuse_cross_site(request)
    session = await sessions.session_of(refresh_cookie.read(request, refresh_cookie.NAME))
    if session is not None:
        await sessions.end_if_open(session.id, user_id=session.user_id, reason="signed out")
    elif actor.session_id is not None and actor.user_id is not None:
        await sessions.end_if_open(actor.session_id, user_id=actor.user_id, reason="signed out")
    return Answer(None, 204, cookies=(refresh_cookie.no_refresh(),))


@routes.post("/auth/email/verify", name="auth.verify_email", public=True, needs_tenant=False)
async def verify_email(body: Verification, request: RequestFacts, actor: Actor) -> Answer:
    """Verify an e-mail address.

    With `token`: prove the address it was sent to. With `email`: send a token to it, if it is not proved yet.

    The session of this request (access token or refresh cookie) stays; every other session of the account ends. Without
    a session, API keys and unproven sign-ins with other providers end too.
    """
    if body.token is not None:
        session_id = actor.session_id or await _session_shown(request)
        return Answer({"email": await recovery.verify_email(body.token, session_id), "verified": True})
    await recovery.send_verification(body.email or "")
    return Answer({"verification": "sent"}, 202)


@routes.post("/auth/password/forgot", name="auth.forgot_password", public=True, needs_tenant=False)
async def forgot_password(body: AddressOnly) -> Accepted:
    """Send a reset link to this address if it has an account; the answer is the same either way."""
    await recovery.send_reset(body.email)
    return Accepted({"reset": "sent"})


@routes.post("/auth/password/reset", name="auth.reset_password", public=True, needs_tenant=False)
async def reset_password(body: Reset) -> Answer:
    """Set a new password with the token that was sent.

    Every session, API key, pending change and unproven sign-in with another provider ends.
    """
    await recovery.reset_password(body.token, body.password)
    return Answer({"reset": True}, cookies=(refresh_cookie.no_refresh(),))


@routes.post("/auth/password/change", name="auth.change_password", signed_in=True, needs_tenant=False)
async def change_password(body: PasswordChange, actor: Actor) -> Answer:
    """Change my password.

    Replace my password; other sessions, pending changes and unproven sign-ins end; this one gets new tokens.
    """
    user_id, session_id = session_behind(actor)
    renewed = await recovery.change_password(
        user_id,
        session_id,
        current=body.current_password,
        new=body.new_password,
        keep_keys=body.keep_api_keys,
    )
    return await _answer(renewed)


@routes.get(
    "/auth/oauth/<provider>/start", effects=True, name="auth.oauth_start", public=True, needs_tenant=False, status=302
)
async def oauth_start(provider: str, query: Start) -> Answer:
    """Redirect the browser to the provider."""
    begun = await oauth.begin(provider, query.return_to)
    cookie = refresh_cookie.browser(begun.browser, int(oauth.LIFETIME.total_seconds()))
    return Answer(None, 302, headers={"Location": begun.url}, cookies=(cookie,))


@routes.get(
    "/auth/oauth/<provider>/callback", effects=True, name="auth.oauth_callback", public=True, needs_tenant=False
)
async def oauth_callback(provider: str, query: Callback, request: RequestFacts) -> Answer:
    """Come back from another provider.

    Finish the sign-in: redirect to `return_to` with the refresh cookie set, or answer the tokens as JSON.
    """
    finished = await oauth.finish(
        provider,
        state=query.state,
        code=query.code,
        browser=refresh_cookie.read(request, refresh_cookie.BROWSER),
        error=query.error,
        issuer=query.iss,
    )
    cookies = (*_begun(finished.signed_in), refresh_cookie.browser("", 0))
    if finished.return_to:
        address = services().settings.public_url + finished.return_to
        return Answer(None, 302, headers={"Location": address}, cookies=cookies)
    return Answer(await tokens(finished.signed_in), cookies=cookies)


async def _session_shown(request: RequestFacts) -> UUID | None:
    session = await sessions.session_of(refresh_cookie.read(request, refresh_cookie.NAME))
    return session.id if session else None


def session_behind(actor: Actor) -> tuple[UUID, UUID]:
    """The person and the session behind a request.

    Raises:
        Unauthenticated: it is not a person with a session, such as an API key.
    """
    if actor.kind != "user" or actor.user_id is None or actor.session_id is None:
        raise Unauthenticated("Sign in as a person for this; an API key cannot do it.")
    return actor.user_id, actor.session_id
