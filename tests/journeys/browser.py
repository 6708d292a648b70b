"""A real browser, driven over WebDriver (https://www.w3.org/TR/webdriver2/): Debian's chromium and chromium-driver."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.journeys.conftest import free_port

DRIVER, CHROMIUM = shutil.which("chromedriver"), shutil.which("chromium")
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1200,900"),
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's name for a reference to an element


class Browser:
    """One window. Elements are named by CSS selectors and waited for."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client, self._session = client, session

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._client.request(method, f"/session/{self._session}{path}", json=body)
        value = answer.json()["value"]
        if answer.status_code >= 400:
            raise LookupError(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def go(self, url: str) -> None:
        """Open an address."""
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str, *given: object) -> Any:
        """What a script returns; it finds what is given in `arguments`."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(given)})

    def find(self, selector: str, containing: str = "", seconds: float = 15) -> str:
        """The first element that is to be seen there and contains this text; waits for it."""
        script = """return [...document.querySelectorAll(arguments[0])].find(
            (each) => each.checkVisibility() && each.textContent.includes(arguments[1])) ?? null"""
        return str(self.until(script, selector, containing, seconds=seconds)[_ELEMENT])

    def until(self, script: str, *given: object, seconds: float = 15) -> Any:
        """What a script returns, once it is something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.run(script, *given):
                return found
            time.sleep(0.1)
        raise LookupError(f"{script} {given}: not within {seconds:g} seconds; the page says: {self.text('body')}")

    def text(self, selector: str) -> str:
        """The text of the first such element as people see it."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def click(self, selector: str, containing: str = "") -> Any:
        """Click on the first such element; again where it was drawn anew in that moment."""
        for left in (2, 1, 0):
            try:
                return self._ask("POST", f"/element/{self.find(selector, containing)}/click", {})
            except LookupError as error:
                if not left or "stale" not in str(error):
                    raise

    def type(self, selector: str, text: str) -> None:
        """Type into the first such element."""
        self._ask("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def mishaps(self) -> list[str]:
        """What the browser complains of in its console, such as a breach of the content security policy."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser that knows nobody, closed after the block."""
    port = free_port()
    driver = subprocess.Popen([str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            until = time.monotonic() + 20
            while time.monotonic() < until:
                try:
                    client.get("/status")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            options = {"binary": CHROMIUM, "args": [*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}"]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "WARNING"}}
            made = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
            yield Browser(client, made["sessionId"])
            client.delete(f"/session/{made['sessionId']}")
        finally:
            driver.terminate()
            driver.wait(20)
