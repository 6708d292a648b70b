"""`tenantry routes` and `tenantry openapi`: what is served, without a database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_routes_when_listed_then_say_who_may_call(project) -> None:
    rows = project("routes")
    assert {row["who"] for row in rows if row["path"] == "/api/v1/health"} == {"public"}
    assert all(row["who"] for row in rows)
    assert {row["plugin"] for row in project("routes", "--plugin", "host")} == {"host"}
    assert project("routes", "--plugin", "nothing", code=1)["code"] == "NOT_FOUND"
    assert not project.data.exists()


def test_openapi_when_printed_then_is_the_document_of_what_is_loaded(project, tmp_path: Path) -> None:
    document = json.loads(project.run("openapi").stdout)
    assert document["openapi"].startswith("3.1")
    owners = {operation["x-plugin"] for path in document["paths"].values() for operation in path.values()}
    assert "host" in owners
    assert len(owners) > 1
    only = json.loads(project.run("openapi", "--plugin", sorted(owners - {"host"})[0]).stdout)
    assert len(only["paths"]) < len(document["paths"])
    target = tmp_path / "collection.json"
    project("openapi", "--postman", "--to", str(target))
    assert "v2.1" in json.loads(target.read_text())["info"]["schema"]


def test_openapi_when_printed_by_a_fresh_process_then_needs_no_database(project) -> None:
    """In this process other tests have opened a database, which completes the models."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    call = [sys.executable, "-c", "from host.cli import main; main()", "openapi"]
    done = subprocess.run(
        call, cwd=project.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "/tenant/members" in json.loads(done.stdout)["paths"]
    assert not project.data.exists()
