"""Everything an anonymous caller can send to a real server gets the documented error, and the server goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from .conftest import ROOT, free_port


def raw(server: Any, request: bytes) -> bytes:
    """The first bytes of the answer to bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(request)
        return peer.recv(65536)


BODIES = (
    (b"{", 400, "BAD_REQUEST"),
    (b"", 400, "BAD_REQUEST"),
    (b"\xff\xfe{}", 400, "BAD_REQUEST"),
    (b'{"name": NaN}', 400, "BAD_REQUEST"),
    (b'{"name": 1e999}', 400, "BAD_REQUEST"),
    (b"[" * 100_000, 400, "BAD_REQUEST"),
    (b'{"name": "' + b"x" * 2_000_000 + b'"}', 413, "PAYLOAD_TOO_LARGE"),
    (b"[]", 422, "VALIDATION_ERROR"),
    (b"null", 422, "VALIDATION_ERROR"),
    (b'{"name": 5}', 422, "VALIDATION_ERROR"),
    (b'{"name": "A\\u0000B"}', 422, "VALIDATION_ERROR"),
    (b'{"name": "\\ud800"}', 400, "BAD_REQUEST"),
    (b'{"name": "Fine", "tenant_id": "x", "created_by": "y"}', 422, "VALIDATION_ERROR"),
)


def test_bodies_when_not_as_documented_then_the_documented_error(server, person) -> None:
    ada = person("ada@example.com")
    ada.register("Ada", "Acme")
    headers = {"Content-Type": "application/json"}
    for body, status, code in BODIES:
        answer = ada.client.post("/projects", content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), body[:60]
    refused = ada.client.post("/projects", content=BODIES[-1][0], headers=headers).json()["error"]
    assert set(refused["details"]) == {"tenant_id", "created_by"}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = ada.client.post("/projects", content=b'{"name": "A"}', headers={"Content-Type": kind})
        assert answer.status_code == 415
    assert ada.client.get("/projects", headers={"Accept": "text/html"}).status_code == 406
    assert ada.client.put("/projects").headers["Allow"]
    problem = ada.client.get(f"/projects/{uuid4()}", headers={"Accept": "application/problem+json"})
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert problem.json()["status"] == 404


def test_queries_and_paths_when_wrong_then_the_documented_error(server, person) -> None:
    ada = person("ada@example.com")
    ada.register("Ada", "Acme")
    for query, status in (
        ("limit=0", 422),
        ("limit=101", 422),
        ("limit=x", 422),
        ("sort=password", 422),
        ("nothing=1", 422),
        ("cursor=abc", 400),
        ("cursor=" + "A" * 900, 400),
        ("cursor=" + "A" * 5000, 422),
        ("status=' OR 1=1 --", 422),
        ("created_by=not-an-id", 422),
        ("limit=1&limit=2", 422),
    ):
        answer = ada.client.get(f"/projects?{query}")
        assert answer.status_code == status, f"{query}: {answer.status_code} {answer.text}"
    for path in ("/projects/1", "/projects/..%2f..%2fetc", "/projects/%00", "/nothing", "/projects/", "//projects"):
        assert ada.client.get(path).status_code == 404, path


def test_headers_when_tricky_then_refused_or_harmless(server, person) -> None:
    ada = person("ada@example.com")
    ada.register("Ada", "Acme")
    token = ada.client.headers["Authorization"].encode()
    doubled = (
        b"GET /api/v1/projects HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\nX-Tenant: acme\r\nX-Tenant: other\r\n\r\n"
    )
    assert b" 400 " in raw(server, doubled % token).split(b"\r\n")[0]
    answer = ada.client.get("/projects", headers={"X-Request-ID": "a b\tc" + "x" * 500})
    assert answer.status_code == 200
    assert " " not in answer.headers["X-Request-ID"]
    assert ada.client.get("/projects", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    smuggled = (
        b"POST /api/v1/projects HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    assert b" 2" not in raw(server, smuggled).split(b"\r\n")[0][:13]
    assert b" 4" in raw(server, b"GET / HTTP/9.9\r\n\r\n").split(b"\r\n")[0]
    nothing = httpx.get(server.url + "/nothing").json()
    assert nothing["error"]["code"] == "NOT_FOUND"
    assert httpx.get(f"{server.url}/api/v1/health").json() == {"success": True, "data": {"status": "ok"}}


def test_ids_of_the_other_tenant_when_named_anywhere_then_like_random_ones(server, person) -> None:
    ada, bob = person("ada@example.com"), person("bob@example.org")
    ada.register("Ada", "Acme")
    bob.register("Bob", "Globex")
    theirs = bob.ask("POST", "/projects", 201, json={"name": "Secret"})
    task = bob.ask("POST", f"/projects/{theirs['id']}/tasks", 201, json={"title": "Secret"})
    mine = ada.ask("POST", "/projects", 201, json={"name": "Mine"})
    own_task = ada.ask("POST", f"/projects/{mine['id']}/tasks", 201, json={"title": "Own"})
    bob_id = bob.ask("GET", "/me")["id"]

    def same(method: str, path: str, foreign: str, **body: Any) -> None:
        answers = []
        for each in (foreign, str(uuid4())):
            sent = {key: each if value == "ID" else value for key, value in body.items()} or None
            if sent is not None and "ids" in sent:
                sent["ids"] = [own_task["id"], each]
            answer = ada.client.request(method, path.replace("ID", each), json=sent)
            error = answer.json()["error"]
            answers.append((answer.status_code, error["code"], error["message"].replace(each, "ID")))
        assert answers[0] == answers[1], f"{method} {path}: {answers}"
        assert answers[0][0] in (404, 422), f"{method} {path}: {answers}"

    same("GET", "/projects/ID", theirs["id"])
    same("DELETE", "/projects/ID", theirs["id"])
    same("GET", "/projects/ID/tasks", theirs["id"])
    same("POST", "/projects/ID/tasks", theirs["id"], title="ID")
    same("GET", "/tasks/ID", task["id"])
    same("DELETE", "/tasks/ID", task["id"])
    same("POST", "/tasks/bulk-status", task["id"], ids="ID", status="done")
    same("PUT", f"/projects/{mine['id']}/members/ID", bob_id, role="member")
    same("PATCH", f"/tasks/{own_task['id']}", bob_id, assignee_id="ID")
    same("GET", "/audit/entries/ID", bob.ask("GET", "/audit/entries")[0]["id"])
    assert ada.ask("GET", f"/tasks?project_id={theirs['id']}") == ada.ask("GET", f"/tasks?project_id={uuid4()}") == []
    assert bob.ask("GET", f"/tasks/{task['id']}")["title"] == "Secret"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("TENANTRY_SERVER__PORTT", "1", ("TENANTRY_SERVER__PORTT", 'did you mean "TENANTRY_SERVER__PORT"')),
        ("TENANTRY_SERVER__WORKERS", "many", ("TENANTRY_SERVER__WORKERS",)),
        ("TENANTRY_APP__DEFAULT_PLAN", "gold", ("default_plan", "free")),
        ("DATABASE_URL", "mysql://x/y", ("postgres://",)),
        ("TENANTRY_APP__ENVIRONMENT", "production", ("TENANTRY_IDENTITY__SECRET",)),
    ],
)
def test_start_when_configuration_is_broken_then_refused_with_key_and_remedy(tmp_path, variable, value, told) -> None:
    environment = os.environ | {
        "PORT": str(free_port()),
        "TENANTRY_DATA__DIR": str(tmp_path),
        "DATABASE_URL": "",
        "REDIS_URL": "",
        variable: value,
    }
    command = [str(Path(sys.executable).with_name("tenantry")), "serve"]
    ran = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode != 0
    assert all(word in ran.stderr + ran.stdout for word in told), ran.stderr + ran.stdout
    assert "Traceback" not in ran.stderr
