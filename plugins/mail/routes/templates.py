"""HTTP endpoints `/mail/templates`: read, write, preview, test and restore templates."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from host.sdk import (
    Accepted,
    Created,
    Page,
    Permission,
    Query,
    RequestFacts,
    Routes,
    Row,
    Stream,
    TextForm,
    ValidationFailed,
)

from ..rendering.compiled import Source
from ..rendering.library import language_tag
from ..service import previews, template_versions, test_send
from ..service.previews import Draft
from ..service.template_versions import HISTORY
from ..service.templates import library

routes = Routes()

PERMISSIONS = (
    Permission("mail.templates.read", "See and preview mail templates", ("admin", "member", "viewer")),
    Permission("mail.templates.update", "Write mail templates, and restore earlier versions", ("admin",)),
    Permission("mail.templates.delete", "Delete own mail templates", ("admin",)),
)

MAX_BODY = 2_000_000  # bytes; each part has a limit of its own
_INERT_BUT_SEEN = (
    "default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; font-src https:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-popups"
)


Locale = Annotated[
    str,
    StringConstraints(max_length=35),
    TextForm(r"([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3})?", "a language tag such as de or de-AT"),
    AfterValidator(language_tag),
]
Text = Annotated[str, StringConstraints(max_length=262_144)]
Variables = Annotated[dict[str, Any], Field(max_length=500)]


class Content(BaseModel, extra="forbid"):
    """Either mjml, the content of the layout or a whole <mjml> document, or html. Default text: made from it."""

    subject: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    mjml: Text = ""
    html: Text = ""
    text: Text = ""
    variables: Variables = {}  # name -> an example, which previews show

    @model_validator(mode="after")
    def _one_of_them(self) -> Content:
        if bool(self.mjml.strip()) == bool(self.html.strip()):
            raise ValueError("Give either `mjml` or `html`.")
        return self

    def draft(self) -> Draft:
        source = Source(self.subject, mjml=self.mjml, html="" if self.mjml.strip() else self.html, text=self.text)
        return Draft(source, self.variables)


class NewVersion(Content):
    locale: Locale = ""


class Preview(BaseModel, extra="forbid"):
    """A preview of the template in use, or of a draft that is not saved."""

    variables: Variables = {}
    locale: Locale = ""
    draft: Content | None = None


class TestSend(BaseModel, extra="forbid"):
    to: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=320)]
    variables: Variables = {}
    locale: Locale = ""


class Reader(BaseModel, extra="forbid"):
    locale: Locale = ""


class PreviewFormat(BaseModel, extra="forbid"):
    format: Literal["json", "html"] | None = None


class TemplateShown(BaseModel):
    """locales: owner of each. version: of the template, 0 before the tenant wrote one; number: of this text."""

    name: str
    summary: str
    source: Literal["plugin", "deployment", "tenant"]
    locales: dict[str, Literal["plugin", "deployment", "tenant"]]
    version: int
    variables: list[dict[str, Any]]
    locale: str
    number: int | None
    subject: str
    mjml: str
    html: str
    text: str


class VersionShown(BaseModel):
    id: UUID
    number: int
    locale: str
    subject: str
    mjml: str
    html: str
    text: str
    variables: list[dict[str, Any]]
    created_by: UUID | None


@routes.get("/mail/templates", permission="mail.templates.read", name="templates.list")
async def list_templates() -> list[Row]:
    """List the templates, and who owns each."""
    return await template_versions.listed()


@routes.get("/mail/templates/<name>", permission="mail.templates.read", name="templates.get", returns=TemplateShown)
async def get_template(name: str, query: Reader) -> Row:
    """Read the template in use for a language."""
    return await template_versions.read(name, query.locale)


@routes.put(
    "/mail/templates/<name>",
    permission="mail.templates.update",
    name="templates.update",
    returns=TemplateShown,
    max_body=MAX_BODY,
)
async def put_template(name: str, body: NewVersion, query: Reader, if_match: int | None) -> Row | Created:
    """Write a template, replacing a built-in one or under a new name."""
    if body.locale and query.locale and body.locale != query.locale:
        raise ValidationFailed(details={"locale": "The query and the body name different locales."})
    locale = query.locale or body.locale or library().default_locale
    row, is_new = await template_versions.write(name, body.draft(), locale, version=if_match)
    return Created(row, f"/mail/templates/{name}") if is_new else row


@routes.delete("/mail/templates/<name>", permission="mail.templates.delete", name="templates.delete")
async def delete_template(name: str, query: Reader, if_match: int | None) -> None:
    """Delete your own template, in one language or all; the built-in one is used again."""
    await template_versions.remove(name, query.locale, version=if_match)


@routes.get(
    "/mail/templates/<name>/versions", permission="mail.templates.read", name="templates.versions", listing=HISTORY
)
async def list_versions(name: str, query: Query) -> Page:
    """List the versions of a template, the newest first."""
    return await template_versions.history(name, query)


@routes.get(
    "/mail/templates/<name>/versions/<int:number>",
    permission="mail.templates.read",
    name="templates.version",
    returns=VersionShown,
)
async def get_version(name: str, number: int) -> Row:
    """Read one version of a template."""
    return await template_versions.past(name, number)


@routes.post(
    "/mail/templates/<name>/versions/<int:number>/restore",
    permission="mail.templates.update",
    name="templates.restore",
    returns=TemplateShown,
)
async def restore_version(name: str, number: int, if_match: int | None) -> Row:
    """Restore an earlier version, as a new one."""
    return await template_versions.restore(name, number, version=if_match)


@routes.post(
    "/mail/templates/<name>/preview",
    permission="mail.templates.read",
    name="templates.preview",
    returns=Stream,
    max_body=MAX_BODY,
)
async def preview_template(
    name: str, body: Preview, query: PreviewFormat, request: RequestFacts
) -> dict[str, str] | Stream:
    """Preview a template; as a page with ?format=html or Accept: text/html."""
    if body.draft is not None:
        rendered = await previews.of_draft(name, body.draft.draft(), body.variables, body.locale)
    else:
        examples = await template_versions.examples(name, body.locale)
        rendered = await previews.of_template(name, examples, body.variables, body.locale)
    wants_page = query.format == "html" or (
        query.format is None and request.headers.get("accept", "").startswith("text/html")
    )
    if wants_page:
        headers = {"content-security-policy": _INERT_BUT_SEEN, "referrer-policy": "no-referrer"}
        return Stream(rendered.html.encode(), "text/html; charset=utf-8", headers=headers)
    return {"subject": rendered.subject, "text": rendered.text, "html": rendered.html}


@routes.post("/mail/templates/<name>/test", permission="mail.messages.create", name="templates.test")
async def test_template(name: str, body: TestSend) -> Accepted:
    """Send a test message of a template to a member of this organisation."""
    message = await test_send.send(name, body.to, body.variables, body.locale)
    return Accepted(message, f"/mail/messages/{message['id']}")
