"""Templates over HTTP and in use: whose counts for whom, versions, previews and trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from host.sdk import NotFound
from host.settings import Settings
from host.testing import Client, TestApplication, TwoTenants
from plugins.mail.service import template_versions
from plugins.mail.service import templates as in_use
from plugins.mail.service.templates import MissingVariables, RenderFailed
from tests.plugins.mail.conftest import Within

SECTION = "<mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section>"


def content(words: str = "Hello {{ name }}", subject: str = "Hi {{ name }}", **more: Any) -> dict[str, Any]:
    return {"subject": subject, "mjml": SECTION.format(words), **more}


async def put(client: Client, name: str, status: int = 201, **body: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await client.ask("PUT", f"/mail/templates/{name}", status, json=content(**body))
    return answer


# -- reading ---------------------------------------------------------------------------------------------


async def test_templates_when_nothing_was_written_then_ours_are_listed_in_both_languages_with_examples(
    acme: Client,
) -> None:
    listed = {each["name"]: each for each in await acme.ask("GET", "/mail/templates")}
    assert {"welcome", "password_reset", "verification", "invitation", "order_confirmation", "newsletter"} <= set(
        listed
    )
    for each in listed.values():
        assert (each["source"], each["version"]) == ("plugin", 0)
        assert {"de": "plugin", "en": "plugin"}.items() <= each["locales"].items()
        assert each["summary"]
        assert all(variable["example"] is not None for variable in each["variables"])


async def test_template_when_read_in_a_language_then_its_source_is_shown_and_the_tag_is_no_version(
    acme: Client,
) -> None:
    english = await acme.ask("GET", "/mail/templates/welcome")
    austrian = await acme.ask("GET", "/mail/templates/welcome?locale=de-AT")
    assert (english["locale"], austrian["locale"]) == ("en", "de")
    assert "Willkommen" in austrian["subject"]
    assert "<mj-section>" in austrian["mjml"]
    assert (await acme.get("/api/v1/mail/templates/welcome")).headers["etag"].startswith('"0-')
    await acme.ask("GET", "/mail/templates/nothing", 404)


# -- writing ---------------------------------------------------------------------------------------------


async def test_template_when_written_and_removed_then_the_tenants_counts_and_then_ours_again(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme
    written = await put(acme, "welcome", words="Ahoy {{ name }}")
    assert (written["source"], written["version"], written["number"], written["locale"]) == ("tenant", 1, 1, "en")
    assert [each["name"] for each in written["variables"]] == ["name"]
    [listed] = [each for each in await acme.ask("GET", "/mail/templates") if each["name"] == "welcome"]
    assert (listed["source"], listed["locales"]) == ("tenant", {"de": "plugin", "en": "tenant", "fr": "plugin"})
    assert (await two_tenants.globex.ask("GET", "/mail/templates/welcome"))["source"] == "plugin"
    await acme.ask("DELETE", "/mail/templates/welcome", 204)
    assert (await acme.ask("GET", "/mail/templates/welcome"))["source"] == "plugin"
    await acme.ask("DELETE", "/mail/templates/welcome", 404)
    entries = await acme.ask("GET", "/audit/resources/template/welcome")
    assert [each["action"] for each in entries] == ["mail.templates.delete", "mail.templates.update"]


async def test_template_when_its_version_has_moved_on_then_412_and_zero_means_never_written(acme: Client) -> None:
    path = "/mail/templates/receipt"
    await acme.ask("PUT", path, 412, json=content(), headers={"If-Match": '"3"'})
    await acme.ask("PUT", path, 201, json=content(), headers={"If-Match": '"0"'})
    await acme.ask("PUT", path, 412, json=content(), headers={"If-Match": '"0"'})
    second = await acme.ask("PUT", path, json=content(), headers={"If-Match": '"1"'})
    assert second["version"] == 2
    await acme.ask("DELETE", path, 412, headers={"If-Match": '"1"'})
    await acme.ask("DELETE", path, 204, headers={"If-Match": '"2"'})
    await acme.ask("GET", path, 404)


async def test_template_versions_when_listed_and_restored_then_the_earlier_one_counts_as_a_new_one(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme
    for words in ("first", "second", "third"):
        await put(acme, "receipt", 201 if words == "first" else 200, words=words)
    history = await acme.ask("GET", "/mail/templates/receipt/versions")
    assert [each["number"] for each in history] == [3, 2, 1]
    assert "first" in (await acme.ask("GET", "/mail/templates/receipt/versions/1"))["mjml"]
    restored = await acme.ask("POST", "/mail/templates/receipt/versions/1/restore", headers={"If-Match": '"3"'})
    assert (restored["version"], "first" in restored["mjml"]) == (4, True)
    await acme.ask("POST", "/mail/templates/receipt/versions/1/restore", 412, headers={"If-Match": '"3"'})
    await acme.ask("POST", "/mail/templates/receipt/versions/99/restore", 404)
    await acme.ask("DELETE", "/mail/templates/receipt", 204)
    await acme.ask("POST", "/mail/templates/receipt/versions/2/restore")
    assert "second" in (await acme.ask("GET", "/mail/templates/receipt"))["mjml"]
    await two_tenants.globex.ask("GET", "/mail/templates/receipt/versions", 404)
    await two_tenants.globex.ask("GET", "/mail/templates/receipt/versions/1", 404)
    await two_tenants.globex.ask("POST", "/mail/templates/receipt/versions/1/restore", 404)


async def test_template_versions_when_there_are_many_then_the_newest_and_those_in_force_stay(
    acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_versions, "KEPT", 3)
    await acme.ask("PUT", "/mail/templates/receipt?locale=de", 201, json=content())
    for _ in range(5):
        await put(acme, "receipt", 200)
    history = await acme.ask("GET", "/mail/templates/receipt/versions")
    assert [each["number"] for each in history] == [6, 5, 4, 1]


async def test_template_when_written_for_one_language_then_readers_of_another_keep_theirs(
    acme: Client, within: Within
) -> None:
    await put(acme, "welcome", words="Ahoy {{ name }}")
    with within(acme):
        english = await in_use.render("welcome", {"name": "Ada"}, locale="en-GB")
        german = await in_use.render("welcome", {"name": "Ada"}, locale="de-AT")
        italian = await in_use.render("welcome", {"name": "Ada"}, locale="it")
        assert await in_use.current_version("welcome", "de-AT") is None
        assert await in_use.current_version("welcome", "it") == 1
    assert ("Ahoy Ada" in english.html, "Willkommen, Ada" in german.html, "Ahoy Ada" in italian.html) == (True,) * 3
    removed = await acme.ask("PUT", "/mail/templates/welcome?locale=de", 200, json=content("Moin {{ name }}"))
    assert removed["locales"] == {"de": "tenant", "en": "tenant", "fr": "plugin"}
    await acme.ask("DELETE", "/mail/templates/welcome?locale=de", 204)
    assert (await acme.ask("GET", "/mail/templates/welcome?locale=de"))["source"] == "plugin"
    assert (await acme.ask("GET", "/mail/templates/welcome"))["source"] == "tenant"


async def test_template_when_only_in_a_language_nobody_asked_for_then_it_is_used_all_the_same(
    acme: Client, within: Within
) -> None:
    await acme.ask("PUT", "/mail/templates/facture?locale=FR-fr", 201, json=content("Bonjour {{ name }}"))
    with within(acme):
        assert "Bonjour Ada" in (await in_use.render("facture", {"name": "Ada"}, locale="de")).text
    assert (await acme.ask("GET", "/mail/templates/facture"))["locale"] == "fr-FR"


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (content("{{ name "), "mjml", "line 1"),
        (content("\n\n{{ ''.__class__ }}"), "mjml", "line 3: __class__"),
        (content("\n{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"), "mjml", "line 2"),
        (content("<script>alert(1)</script>"), "mjml", "<script>"),
        (content("<b>open"), "mjml", "line 1"),
        ({"subject": "s", "mjml": "\n<mj-section>\n<mj-colum></mj-colum></mj-section>"}, "mjml", "line 3"),
        (content(subject="{% if %}"), "subject", "line 1"),
        (content(text="{{ a|attr('b') }}"), "text", "attr"),
        ({"subject": "s", "html": '<a href="javascript:alert(1)">x</a>'}, "html", "javascript"),
        ({"subject": "s", "html": "<p>a</p>", "mjml": "<mj-section></mj-section>"}, "", "either"),
        ({"subject": "s"}, "", "either"),
        (content(subject=""), "subject", ""),
        (content(locale="not a locale"), "locale", ""),
        (content(extra=1), "extra", ""),
    ],
)
async def test_template_when_it_is_not_accepted_then_422_with_part_line_and_reason(
    acme: Client, body: dict[str, Any], field: str, said: str
) -> None:
    refused = await acme.ask("PUT", "/mail/templates/receipt", 422, json=body)
    assert refused["code"] == "VALIDATION_ERROR"
    [(place, reason)] = refused["details"].items()
    assert field in place
    assert said in reason
    await acme.ask("GET", "/mail/templates/receipt", 404)


async def test_template_when_its_name_is_no_slug_or_there_are_too_many_then_refused(
    acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "name" in (await acme.ask("PUT", "/mail/templates/Not%20This", 422, json=content()))["details"]
    monkeypatch.setattr(template_versions, "NAMES", 1)
    await put(acme, "one")
    await acme.ask("PUT", "/mail/templates/two", 409, json=content())
    await put(acme, "one", 200)


# -- trying ----------------------------------------------------------------------------------------------


async def test_preview_when_asked_as_json_and_as_a_page_then_both_and_the_page_runs_nothing(acme: Client) -> None:
    shown = await acme.ask("POST", "/mail/templates/order_confirmation/preview", json={"locale": "de"})
    assert "2026-0815" in shown["subject"]
    assert "1.284,50 EUR" in shown["text"]
    given = {"variables": {"name": "<b>Bob</b>"}}
    page = await acme.post("/api/v1/mail/templates/welcome/preview", json=given, headers={"Accept": "text/html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "&lt;b&gt;Bob" in page.text
    same = await acme.post("/api/v1/mail/templates/welcome/preview?format=html", json=given)
    assert same.text == page.text
    await acme.ask("POST", "/mail/templates/welcome/preview?format=pdf", 422, json={})


async def test_preview_when_it_is_of_a_draft_then_nothing_is_saved(acme: Client) -> None:
    draft = content("Hi {{ name }}, {{ city }}", variables={"city": "Paris"})
    shown = await acme.ask(
        "POST", "/mail/templates/welcome/preview", json={"draft": draft, "variables": {"name": "Ada"}}
    )
    assert "Hi Ada, Paris" in shown["text"]
    assert (await acme.ask("GET", "/mail/templates/welcome"))["source"] == "plugin"
    refused = await acme.ask(
        "POST",
        "/mail/templates/nothing/preview",
        422,
        json={"draft": content("{{ a }} {{ b.c }}"), "variables": {"b": {}}},
    )
    assert set(refused["details"]) == {"variables.a", "variables.b.c", "variables.name"}
    looping = content("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}{{ gone }}")
    refused = await acme.ask(
        "POST", "/mail/templates/x/preview", 422, json={"draft": looping, "variables": {"name": 1}}
    )
    assert refused["code"] == "VALIDATION_ERROR"


async def test_preview_when_there_is_no_such_template_then_404(acme: Client) -> None:
    await acme.ask("POST", "/mail/templates/nothing/preview", 404, json={})


async def test_trial_when_sent_to_a_member_then_a_message_is_accepted_and_to_an_outsider_then_422(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme
    message = await acme.ask("POST", "/mail/templates/newsletter/test", 202, json={"to": "Member@Acme.example"})
    assert message["subject"] == "News from the workshop"
    for anonymous in ("member@globex.example", "who@example.com", "no address"):
        refused = await acme.ask("POST", "/mail/templates/newsletter/test", 422, json={"to": anonymous})
        assert "to" in refused["details"]
    await acme.ask("POST", "/mail/templates/nothing/test", 404, json={"to": "member@acme.example"})


# -- in use ----------------------------------------------------------------------------------------------


async def test_render_when_a_version_is_named_then_that_one_whatever_counts_by_now(
    acme: Client, within: Within
) -> None:
    for words in ("first", "second"):
        await put(acme, "receipt", 201 if words == "first" else 200, words=words)
    with within(acme):
        assert "first" in (await in_use.render("receipt", {"name": "Ada"}, version=1)).text
        assert "second" in (await in_use.render("receipt", {"name": "Ada"}, version=2)).text
        assert "second" in (await in_use.render("receipt", {"name": "Ada"})).text
        assert "second" in (await in_use.render("receipt", {"name": "Ada"}, version=77)).text
    await acme.ask("DELETE", "/mail/templates/receipt", 204)
    with within(acme):
        assert "first" in (await in_use.render("receipt", {"name": "Ada"}, version=1)).text
        with pytest.raises(NotFound):
            await in_use.render("receipt", {"name": "Ada"})


async def test_render_when_two_tenants_use_one_name_then_each_gets_its_own(
    two_tenants: TwoTenants, within: Within
) -> None:
    for client, words in ((two_tenants.acme, "ours"), (two_tenants.globex, "theirs")):
        await put(client, "receipt", words=words)
        with within(client):
            assert words in (await in_use.render("receipt", {"name": "Ada"}, version=1)).text
    with within(two_tenants.acme):
        assert "ours" in (await in_use.render("receipt", {"name": "Ada"}, version=1)).text


async def test_render_when_variables_are_missing_then_all_are_named(acme: Client, within: Within) -> None:
    with within(acme):
        with pytest.raises(MissingVariables) as lacking:
            await in_use.render("order_confirmation", {"order": {"number": "1"}})
        assert {"name", "items", "order.date", "order.total", "order.currency"} <= set(lacking.value.names)
        newsletter = await in_use.prepared("newsletter")
        assert newsletter.compiled.missing(frozenset({"title", "intro", "articles", "organisation"})) == set()
        assert newsletter.unknown(["title", "unsubscribe_url", "tilte"]) == {"tilte"}
        with pytest.raises(RenderFailed, match="line break"):
            await in_use.render("welcome", {"organisation": "a\r\nBcc: x@example.com", "name": "Ada"})


async def test_render_system_when_no_tenant_is_bound_then_the_deployments_words(application: TestApplication) -> None:
    with application.inner.bound():
        shown = in_use.render_builtin(
            "password_reset", {"name": "Ada", "link": "https://x.example/r", "minutes": 30}, "de"
        )
        assert "https://x.example/r" in shown.text
        assert "Neues Passwort" in shown.subject
        with pytest.raises(NotFound):
            in_use.render_builtin("nothing", {})
        with pytest.raises(RenderFailed, match="javascript"):
            in_use.render_builtin("verification", {"name": "Ada", "link": "javascript:alert(1)", "hours": 1})


# -- who may ---------------------------------------------------------------------------------------------


async def test_templates_when_asked_by_who_may_not_then_403_and_when_switched_off_then_404(
    two_tenants: TwoTenants,
) -> None:
    viewer, acme = two_tenants.acme_viewer, two_tenants.acme
    await viewer.ask("GET", "/mail/templates/welcome")
    await viewer.ask("POST", "/mail/templates/welcome/preview", json={})
    await viewer.ask("PUT", "/mail/templates/welcome", 403, json=content())
    await viewer.ask("DELETE", "/mail/templates/welcome", 403)
    await viewer.ask("POST", "/mail/templates/welcome/versions/1/restore", 403)
    await viewer.ask("POST", "/mail/templates/welcome/test", 403, json={"to": "viewer@acme.example"})
    await two_tenants.acme_member.ask("PUT", "/mail/templates/welcome", 403, json=content())
    await two_tenants.anonymous.ask("GET", "/mail/templates", 401)
    await acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": False})
    assert (await acme.ask("GET", "/mail/templates", 404))["code"] == "PLUGIN_DISABLED"


# -- a deployment's own ----------------------------------------------------------------------------------


class TestDeployment:
    """A deployment that brings its own folder of templates."""

    @pytest.fixture
    def app_settings(self, app_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
        folder = tmp_path / "templates"
        (folder / "welcome").mkdir(parents=True)
        (folder / "welcome" / "en.mjml").write_text(SECTION.format("<p>Our own {{ name }}</p>"), "utf-8")
        (folder / "layout.toml").write_text('[en]\nsent_by = "Kindly yours,"', "utf-8")
        (folder / "closing").mkdir()
        (folder / "closing" / "template.toml").write_text('summary = "Goodbye"\n[subject]\nit = "Ciao"', "utf-8")
        (folder / "closing" / "it.html").write_text("<p>Ciao</p>", "utf-8")
        (folder / "closing" / "it.txt").write_text("Ciao, {{ organisation }}", "utf-8")
        monkeypatch.setenv("TENANTRY_MAIL__TEMPLATES", str(folder))
        monkeypatch.setenv("TENANTRY_MAIL__LOCALE", "de")
        return app_settings

    async def test_templates_when_a_deployment_brings_its_own_then_they_go_before_ours_and_the_tenants_before_them(
        self, acme: Client, within: Within
    ) -> None:
        listed = {each["name"]: each for each in await acme.ask("GET", "/mail/templates")}
        assert listed["welcome"]["locales"] == {"de": "plugin", "en": "deployment", "fr": "plugin"}
        assert (listed["closing"]["source"], listed["closing"]["summary"]) == ("deployment", "Goodbye")
        with within(acme):
            shown = await in_use.render("welcome", {"name": "Ada"}, locale="en")
            assert "Our own Ada" in shown.text
            assert "Kindly yours, Acme." in shown.text
            assert "Willkommen, Ada" in (await in_use.render("welcome", {"name": "Ada"}, locale="it")).text
            assert (await in_use.render("closing", {}, locale="en")).text == "Ciao, Acme\n"
        await acme.ask("PUT", "/mail/templates/welcome?locale=en", 201, json=content("Tenant's {{ name }}"))
        with within(acme):
            assert "Tenant's Ada" in (await in_use.render("welcome", {"name": "Ada"}, locale="en")).text
