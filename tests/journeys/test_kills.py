"""Kills without warning, over and over, under load: a long run, `make torture`."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from typing import Any

import httpx
import pytest

KILLS = int(os.environ.get("TORTURE_KILLS", "20"))
SEED = int(os.environ.get("TORTURE_SEED", "1"))


class Writer(threading.Thread):
    """Creates tasks for as long as it may, and remembers those it was told exist."""

    def __init__(self, person: Any, project: str) -> None:
        super().__init__(daemon=True)
        self.person, self.project = person, project
        self.acknowledged: list[str] = []
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            with contextlib.suppress(httpx.TransportError):
                path = f"/projects/{self.project}/tasks"
                answer = self.person.client.post(path, json={"title": f"Task {len(self.acknowledged)}"})
                if answer.status_code == 201:
                    self.acknowledged.append(answer.json()["data"]["id"])


@pytest.mark.torture
def test_server_when_killed_over_and_over_then_everything_acknowledged_is_there_once(server, person) -> None:
    chance = random.Random(SEED)
    ada = person("ada@example.com")
    ada.register("Ada", "Acme")
    project = ada.ask("POST", "/projects", 201, json={"name": "Apollo"})["id"]
    writers = [Writer(ada, project) for _ in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.05, 1.0))
        server.stop(signal.SIGKILL)
        server.start()
    for writer in writers:
        writer.ended.set()
        writer.join(20)
    acknowledged = {task for writer in writers for task in writer.acknowledged}
    assert len(acknowledged) > KILLS
    found, cursor = [], ""
    while cursor is not None:
        page = ada.client.get(f"/projects/{project}/tasks?limit=100" + (f"&cursor={cursor}" if cursor else "")).json()
        found += [task["id"] for task in page["data"]]
        cursor = page["meta"]["next_cursor"]
    assert len(found) == len(set(found))
    assert acknowledged <= set(found)
    audited: dict[str, int] = {}
    cursor = ""
    while cursor is not None:
        path = "/audit/entries?action=projects.tasks.create&outcome=succeeded&limit=100"
        path += f"&cursor={cursor}" if cursor else ""
        page = ada.client.get(path).json()
        for entry in page["data"]:
            audited[entry["resource_id"]] = audited.get(entry["resource_id"], 0) + 1
        cursor = page["meta"]["next_cursor"]
    assert audited == dict.fromkeys(found, 1)  # no task without its entry, no entry without its task
