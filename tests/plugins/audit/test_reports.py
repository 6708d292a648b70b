"""The report and the export: complete, printable, safe to open, and themselves on record."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from host.contracts import Actor, Origin
from host.testing import TwoTenants
from tests.plugins.audit.conftest import Log

FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1+1")


async def test_report_when_asked_then_counts_and_lists_what_an_auditor_wants(two_tenants: TwoTenants, log: Log) -> None:
    acme = two_tenants.acme
    await two_tenants.acme_viewer.ask("POST", "/projects", 403, json={"name": "No"})
    await acme.ask("POST", "/tenant/roles", 201, json={"name": "auditor", "title": "A", "permissions": []})
    await acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
    await log.write(2, at=datetime.now(UTC) - timedelta(days=3), name="tenant.plan.update", after={"plan": "pro"})
    found = await acme.ask("GET", "/audit/report")
    assert found["by_outcome"]["denied"] == 1
    assert found["entries"] == sum(found["by_outcome"].values()) == sum(day["entries"] for day in found["by_day"])
    assert len(found["by_day"]) in {30, 31}
    assert {"action": "tenant.plan.update", "entries": 2} in found["by_action"]
    assert found["by_actor"][0]["entries"] >= found["by_actor"][-1]["entries"]
    assert [line["action"] for line in found["access_changes"]] == ["tenant.roles.create"]
    assert [line["action"] for line in found["plugin_changes"]] == ["tenant.plugins.disable"]
    assert "tenant.plan.update" in [line["action"] for line in found["plan_changes"]]
    assert [line["action"] for line in found["refused"]] == ["projects.projects.create"]
    short = await acme.ask("GET", "/audit/report?from=2026-01-01T00:00:00Z&to=2026-01-03T12:00:00Z")
    assert (short["entries"], [day["day"] for day in short["by_day"]]) == (
        0,
        ["2026-01-01", "2026-01-02", "2026-01-03"],
    )
    for wrong in (
        "from=x",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z",
        "format=pdf",
    ):
        await acme.ask("GET", f"/audit/report?{wrong}", 422)
    await two_tenants.acme_member.ask("GET", "/audit/report", 403)


async def test_report_when_asked_as_a_page_then_html_that_runs_nothing(two_tenants: TwoTenants, log: Log) -> None:
    await log.write(outcome="denied", reason="<script>alert(1)</script>", resource_id='"><img src=x>')
    by_format = await two_tenants.acme.get("/api/v1/audit/report?format=html")
    by_accept = await two_tenants.acme.get("/api/v1/audit/report", headers={"Accept": "text/html"})
    for answer in (by_format, by_accept):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "script" not in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "Audit report of Acme" in answer.text
        assert "&lt;script&gt;alert(1)" in answer.text
        assert "<script" not in answer.text
        assert "<img" not in answer.text


@pytest.mark.parametrize("name", ["resource_id", "reason"])
async def test_csv_when_cells_look_like_formulas_then_are_made_harmless(
    two_tenants: TwoTenants, log: Log, name: str
) -> None:
    for formula in FORMULAS:
        await log.write(**{name: formula})
    evil = Origin("=r", Actor("user", None, "=HYPERLINK(1)"), "@1", "+agent")
    await log.write(origin=evil, after={"a": 'say "hi", twice'})
    answer = await two_tenants.acme.get("/api/v1/audit/export?format=csv&sort=at")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-acme-')
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert len(rows) >= len(FORMULAS) + 1
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
    assert rows[-1]["actor_label"] == "'=HYPERLINK(1)"
    assert orjson.loads(rows[-1]["after"]) == {"a": 'say "hi", twice'}


async def test_export_when_filtered_then_only_those_and_it_is_on_record(two_tenants: TwoTenants, log: Log) -> None:
    acme = two_tenants.acme
    await log.write(5, name="projects.things.create", after={"note": "needle"})
    await log.write(3, name="projects.things.delete", outcome="failed")
    answer = await acme.get("/api/v1/audit/export?format=jsonl&action=projects.things.*&outcome=succeeded&q=needle")
    lines = [orjson.loads(line) for line in answer.content.splitlines()]
    assert [line["action"] for line in lines] == ["projects.things.create"] * 5
    assert lines[0] == (await acme.ask("GET", f"/audit/entries/{lines[0]['id']}"))
    [entry] = await acme.ask("GET", "/audit/entries?action=audit.entries.export")
    assert entry["after"]["format"] == "jsonl"
    assert entry["after"]["filters"]["q"] == "needle"
    other = await two_tenants.globex.get("/api/v1/audit/export?format=jsonl&action=projects.things.*")
    assert other.content == b""
    for wrong in ("format=xls", "cursor=abc", "from=x", "outcome=maybe", "nonsense=1"):
        assert (await acme.get(f"/api/v1/audit/export?{wrong}")).status_code == 422
    assert (await two_tenants.acme_member.get("/api/v1/audit/export")).status_code == 403
    assert (await two_tenants.anonymous.get("/api/v1/audit/export")).status_code == 401


async def test_export_when_longer_than_a_chunk_then_every_entry_comes_once(
    two_tenants: TwoTenants, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plugins.audit import export

    monkeypatch.setattr(export, "CHUNK", 7)
    moment = datetime.now(UTC)
    await log.write(30, at=moment, name="projects.things.create")  # the same time: the id decides
    answer = await two_tenants.acme.get("/api/v1/audit/export?format=jsonl&action=projects.things.create")
    ids = [orjson.loads(line)["id"] for line in answer.content.splitlines()]
    assert len(ids) == len(set(ids)) == 30
    assert ids == sorted(ids, reverse=True)


async def test_report_when_the_organisation_has_a_time_zone_then_its_days_begin_there(
    two_tenants: TwoTenants, log: Log
) -> None:
    acme = two_tenants.acme
    await acme.ask("PATCH", "/tenant", json={"timezone": "Asia/Tokyo"})
    await log.write(at=datetime(2026, 3, 1, 16, tzinfo=UTC), name="projects.tasks.update")  # March 2 there
    found = await acme.ask("GET", "/audit/report?from=2026-03-01T00:00:00Z&to=2026-03-02T15:00:00Z")
    days = {day["day"]: day["entries"] for day in found["by_day"]}
    assert (found["timezone"], days) == ("Asia/Tokyo", {"2026-03-01": 0, "2026-03-02": 1})
    page = await acme.get("/api/v1/audit/report?from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z&format=html")
    assert "2026-03-01 09:00:00 JST" in page.text


async def test_csv_when_asked_for_a_byte_order_mark_then_begins_with_it(two_tenants: TwoTenants, log: Log) -> None:
    await log.write(after={"title": "Grüße"})
    marked = await two_tenants.acme.get("/api/v1/audit/export?format=csv&bom=true")
    plain = await two_tenants.acme.get("/api/v1/audit/export?format=csv")
    assert marked.content.startswith(b"\xef\xbb\xbfid,")
    assert plain.content.startswith(b"id,")
