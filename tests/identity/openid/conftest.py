"""Fixtures: a real OpenID provider in a process of its own, and a browser that visits it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from host.settings import OAuthProvider

HERE = Path(__file__).parent
REDIRECT = "http://127.0.0.1:8000/api/v1/auth/oauth/local/callback"


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("needs npm and node")
    assert request.config.cache is not None
    folder = Path(request.config.cache.mkdir("openid-provider"))
    for name in ("package.json", "provider.mjs"):
        shutil.copy(HERE / name, folder / name)
    if not (folder / "node_modules" / "oidc-provider").exists():
        install = [npm, "install", "--no-audit", "--no-fund", "--silent"]
        if subprocess.run(install, cwd=folder, check=False, timeout=100, capture_output=True).returncode:
            pytest.skip("npm cannot install oidc-provider here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [node, "provider.mjs", str(port), REDIRECT]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = [""]
        while said[-1].strip() != "ready":
            said.append(process.stdout.readline())
            assert said[-1], f"the provider did not start: {''.join(said)}"
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture
def provided(application: Any, issuer: str) -> Iterator[Any]:
    """The host with that provider configured as "local"."""
    local = OAuthProvider(issuer=issuer, client_id="tenantry", client_secret=SecretStr("a secret of the client"))
    application.settings = application.settings.model_copy(update={"oauth": {"local": local}})
    with application.bound():
        yield application


def visit(url: str, login: str) -> dict[str, str]:
    """Sign in as `login` at the provider, agree, and come back: the fields of the callback's query."""
    with httpx2.Client(timeout=10) as browser:
        answer = browser.get(url)
        for _ in range(12):
            if answer.is_redirect:
                target = str(answer.headers["location"])
                if target.startswith(REDIRECT):
                    return dict(parse_qsl(urlsplit(target).query))
                answer = browser.get(answer.url.join(target))
            else:
                answer = browser.post(_form(answer), data={"prompt": _prompt(answer), "login": login, "password": "x"})
    raise AssertionError(f"never came back from {answer.url}: {answer.text}")


def _form(answer: httpx2.Response) -> str:
    found = re.search(r'action="([^"]+)"', answer.text)
    assert found, answer.text
    return str(answer.url.join(found[1]))


def _prompt(answer: httpx2.Response) -> str:
    found = re.search(r'name="prompt" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


@pytest.fixture
def browser() -> Any:
    return visit
