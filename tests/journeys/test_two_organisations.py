"""Two people found two organisations, invite a third, work, hit a limit, upgrade, are suspended and resumed."""

from __future__ import annotations

import time
from uuid import uuid4

from .conftest import OPERATOR


def eventually(check, seconds: float = 1.0) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_two_organisations_when_used_from_end_to_end_then_all_the_promises_hold(server, person) -> None:
    ada, bob, eve = person("ada@example.com"), person("bob@example.org"), person("eve@example.net")
    acme = ada.register("Ada", "Acme")["tenant"]
    globex = bob.register("Bob", "Globex")["tenant"]
    eve.register("Eve")

    # Ada invites Eve as a member.
    roles = {role["name"]: role["id"] for role in ada.ask("GET", "/tenant/roles")}
    invitation = ada.ask(
        "POST", "/tenant/invitations", 201, json={"email": "eve@example.net", "role_id": roles["member"]}
    )
    bob.ask("POST", "/invitations/accept", 403, json={"token": invitation["token"]})
    joined = eve.ask("POST", "/invitations/accept", json={"token": invitation["token"]})
    assert joined["slug"] == acme["slug"]
    eve.ask("POST", "/invitations/accept", 404, json={"token": invitation["token"]})
    eve.client.headers["X-Tenant"] = acme["slug"]
    assert {member["email"] for member in ada.ask("GET", "/tenant/members")} == {ada.email, eve.email}

    # Projects and tasks, kept apart.
    project = ada.ask("POST", "/projects", 201, json={"name": "Apollo"})
    task = eve.ask("POST", f"/projects/{project['id']}/tasks", 201, json={"title": "Land on the moon"})
    eve_id = eve.ask("GET", "/me")["id"]
    ada.ask("PATCH", f"/tasks/{task['id']}", json={"assignee_id": eve_id, "priority": "high"})
    for stranger_path in (f"/tasks/{task['id']}", f"/projects/{project['id']}"):
        random_path = stranger_path.rsplit("/", 1)[0] + f"/{uuid4()}"
        foreign, random = bob.ask("GET", stranger_path, 404), bob.ask("GET", random_path, 404)
        assert {**foreign, "request_id": ""} == {**random, "request_id": ""}
    bob.ask("GET", "/projects", 404, headers={"X-Tenant": acme["slug"]})
    assert bob.ask("GET", "/projects") == []

    # A role decides what Eve may do, and a change is felt at once.
    eve.ask("PUT", "/tenant/plugins/projects", 403, json={"enabled": False})
    ada.ask("PATCH", f"/tenant/members/{eve_id}", json={"role_id": roles["viewer"]})
    eventually(lambda: eve.ask("POST", f"/projects/{project['id']}/tasks", 403, json={"title": "No"}))
    denied = eve.ask("POST", f"/projects/{project['id']}/tasks", 403, json={"title": "No"})
    assert denied["details"] == {"permission": "projects.tasks.create"}

    # Off is 404 PLUGIN_DISABLED; on again, everything is there.
    ada.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
    assert ada.ask("GET", "/projects", 404)["code"] == "PLUGIN_DISABLED"
    assert bob.ask("GET", "/projects") == []
    ada.ask("PUT", "/tenant/plugins/projects", json={"enabled": True})
    assert ada.ask("GET", f"/tasks/{task['id']}")["title"] == "Land on the moon"

    # The plan's limit, the upgrade, and the operator who gives it.
    for number in (2, 3):
        ada.ask("POST", "/projects", 201, json={"name": f"Project {number}"})
    refused = ada.ask("POST", "/projects", 402, json={"name": "One too many"})
    assert refused["code"] == "QUOTA_EXCEEDED"
    assert (refused["details"]["limit"], refused["details"]["used"]) == (3, 3)
    operator = person(*OPERATOR)
    operator.login()
    bob.ask("PUT", f"/operator/tenants/{acme['slug']}/plan", 403, json={"plan": "pro"})
    operator.ask("PUT", f"/operator/tenants/{acme['slug']}/plan", json={"plan": "pro"})
    ada.ask("POST", "/projects", 201, json={"name": "Now it fits"})
    usage = {row["name"]: row for row in ada.ask("GET", "/usage")}
    assert (usage["projects.projects"]["used"], usage["projects.projects"]["limit"]) == (4, 100)

    # Suspended and resumed.
    operator.ask("POST", f"/operator/tenants/{globex['slug']}/suspend", json={"reason": "unpaid"})
    assert bob.ask("GET", "/projects", 403)["code"] == "TENANT_SUSPENDED"
    operator.ask("POST", f"/operator/tenants/{globex['slug']}/resume")
    assert bob.ask("GET", "/projects") == []

    # A session ended elsewhere stops here.
    elsewhere = person(ada.email)
    elsewhere.login()
    sessions = elsewhere.ask("GET", "/me/sessions")
    other = next(session for session in sessions if not session["current"])
    elsewhere.ask("DELETE", f"/me/sessions/{other['id']}", 204)
    eventually(lambda: ada.ask("GET", "/projects", 401))
    elsewhere.ask("GET", "/projects")

    # The audit plugin saw it all.
    elsewhere.client.headers["X-Tenant"] = acme["slug"]
    seen = {entry["action"] for entry in elsewhere.ask("GET", "/audit/entries?limit=100")}
    assert {"projects.projects.create", "projects.tasks.create", "tenant.members.update"} <= seen


def test_server_when_killed_then_nothing_acknowledged_is_lost(server, person) -> None:
    import signal

    ada = person("ada@example.com")
    ada.register("Ada", "Acme")
    project = ada.ask("POST", "/projects", 201, json={"name": "Apollo"})
    tasks = [
        ada.ask("POST", f"/projects/{project['id']}/tasks", 201, json={"title": f"Task {number}"})["id"]
        for number in range(20)
    ]
    server.stop(signal.SIGKILL)
    server.start()
    kept = ada.ask("GET", f"/projects/{project['id']}/tasks?limit=100")
    assert {task["id"] for task in kept} == set(tasks)
