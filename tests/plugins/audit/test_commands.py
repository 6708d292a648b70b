"""`tenantry verify audit` and its like, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from host.settings import Settings
from host.testing import TestApplication, TwoTenants
from tests.plugins.audit.conftest import Log

ROOT = Path(__file__).parents[3]


def tenantry(application: TestApplication, *arguments: str, code: int = 0) -> Any:
    settings = application.inner.settings
    environment = {
        **os.environ,
        "TENANTRY_DATA__DIR": str(settings.data.dir),
        "DATABASE_URL": settings.database.url,
        "REDIS_URL": application.inner.redis.url if application.inner.redis else settings.redis.url,
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("tenantry")), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in arguments or "checkpoint" in arguments else done.stdout + done.stderr


@pytest.mark.timeout(400)
async def test_verify_audit_when_typed_then_each_log_is_verified_and_the_wrong_entry_named(
    app_settings: Settings, tmp_path: Path
) -> None:
    async with TestApplication.open(app_settings) as application, TwoTenants.create(application) as both:
        assert both.acme.tenant_id is not None
        log = Log(application, both.acme.tenant_id)
        await log.write(5)
        await log.seal()
        said = tenantry(application, "verify", "audit", "--json")
        assert said["success"]
        assert [each["tenant"] for each in said["data"]["logs"]] == ["(no organisation)", "acme", "globex"]
        await log.write(2)
        assert "are as sealed; 2 are as written" in tenantry(application, "verify", "audit", "--tenant", "acme")
        kept = tmp_path / "checkpoint.json"
        kept.write_text(json.dumps(tenantry(application, "audit", "checkpoint", "--tenant", "acme")))
        assert "as sealed" in tenantry(application, "audit", "verify", "--tenant", "acme", "--checkpoint", str(kept))
        kept.write_text(kept.read_text().replace('"position": ', '"position": 1'))
        tenantry(application, "verify", "audit", "--tenant", "acme", "--checkpoint", str(kept), code=1)
        await log.attack("UPDATE audit_entries SET outcome = 'denied' WHERE position = 3")
        said = tenantry(application, "verify", "audit", "--json", code=1)
        [finding] = [each["finding"] for each in said["data"]["logs"] if not each["ok"]]
        assert (finding["kind"], finding["position"]) == ("altered", 3)
        assert "position 3" in tenantry(application, "verify", "audit", code=1)
        tenantry(application, "verify", "nonsense", code=2)
        assert "Sealed" in tenantry(application, "audit", "seal")
