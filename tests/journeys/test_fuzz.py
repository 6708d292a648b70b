"""Every operation of the OpenAPI document, with input nobody thought of: a long run, `make fuzz`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.fuzz
def test_operations_when_fed_anything_then_answer_as_documented(server, person) -> None:
    ada = person("ada@example.com")
    ada.register("Ada", "Acme")
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{server.url}/api/v1/openapi.json", "--url", f"{server.url}/api/v1"),
            *("-H", f"Authorization: {ada.client.headers['Authorization']}", "-H", "X-Tenant: acme"),
            *("--checks", CHECKS, "--max-examples", os.environ.get("FUZZ_EXAMPLES", "50"), "--phases", "fuzzing"),
            *("--exclude-path-regex", "/auth/|/me/sessions|/tenant$", "--suppress-health-check", "all"),
            *("--workers", "2", "--seed", os.environ.get("FUZZ_SEED", "1"), "--no-color"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=1100,
    )
    assert ran.returncode == 0, ran.stdout[-20000:] + ran.stderr[-2000:]
