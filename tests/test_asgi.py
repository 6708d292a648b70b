from __future__ import annotations

import subprocess
import sys

LATE = {"httpcore2", "httpx", "httpx2", "langcodes", "authlib", "aioboto3", "aiosmtplib", "css_inline", "mjml", "nh3"}
DEVELOPMENT = {"aerich", "hypothesis", "moto", "pytest", "schemathesis", "sentry_sdk", "uvicorn"}


def test_import_when_a_web_server_starts_then_without_what_only_some_requests_use() -> None:
    code = "import sys, host.asgi; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {"host", "quart", "tortoise"} <= imported
    assert not imported & (LATE | DEVELOPMENT)
