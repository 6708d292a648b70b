"""What a real Prometheus makes of a real deployment: the scrape, the dashboards' queries, the alerts.

Needs `prometheus` and `promtool` (Debian: the package prometheus; on a machine for continuous integration it is there
if it was installed). Skipped where they are not.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from .conftest import PASSWORD, ROOT, TOKEN, Deployment, Prometheus, expressions, until

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="needs Debian's package prometheus, which brings prometheus and promtool",
    ),
]
_GROUPS = yaml.safe_load((ROOT / "config" / "prometheus" / "rules.yml").read_text())["groups"]
RULES = [rule for group in _GROUPS for rule in group["rules"]]
_ONLY_AFTER_A_FAULT = "tenantry_audit_checkpoint_faults_total"
_NAME = re.compile(r"\btenantry_[a-z_]+\b")


def test_metrics_when_promtool_checks_them_then_it_finds_nothing_to_say(deployment: Deployment) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=deployment.scrape(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_rules_when_promtool_tests_them_then_each_alert_fires_when_it_should_and_only_then() -> None:
    folder = ROOT / "config" / "prometheus"
    done = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cases: dict[str, set[bool]] = {}
    for case in yaml.safe_load((folder / "rules_test.yml").read_text())["tests"]:
        for tested in case["alert_rule_test"]:
            cases.setdefault(tested["alertname"], set()).add(bool(tested["exp_alerts"]))
    assert cases == {rule["alert"]: {True, False} for rule in RULES}


def test_configuration_when_promtool_checks_it_then_is_right(tmp_path: Any) -> None:
    copy = shutil.copytree(ROOT / "config" / "prometheus", tmp_path / "prometheus")
    (copy / "scrape_token").write_text(TOKEN)
    done = subprocess.run(
        ["promtool", "check", "config", str(copy / "prometheus.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_target_when_scraped_by_prometheus_then_is_healthy(prometheus: Prometheus) -> None:
    [target] = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_dashboards_when_read_then_ask_prometheus_and_each_thing_once() -> None:
    found = expressions()
    assert {where.split(":")[0] for where, _ in found} == {"host", "jobs", "mail", "tenants", "plugins"}
    assert len(found) == len(set(found)) > 50


def test_every_query_when_asked_of_prometheus_then_names_what_there_is_and_returns_data(
    prometheus: Prometheus,
) -> None:
    rules = [(rule["alert"], rule["expr"].rpartition(" ")[0].rpartition(" ")[0]) for rule in RULES]
    known = set(prometheus.ask("label/__name__/values"))
    wrong = []
    for where, expression in [*expressions(), *rules]:
        if _ONLY_AFTER_A_FAULT in expression:  # none happened here; rules_test.yml makes it up
            continue
        if unknown := set(_NAME.findall(expression)) - known:
            wrong.append(f"{where}: there is no {', '.join(sorted(unknown))}")
        elif all(math.isnan(float(sample["value"][1])) for sample in prometheus.query(expression)):
            wrong.append(f"{where}: no data for {expression}")
    assert not wrong, "\n".join(wrong)


def test_alerts_when_prometheus_runs_them_then_only_those_that_should_burn(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in RULES}
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    firing = until(lambda: {rule["labels"]["alertname"] for rule in prometheus.ask("alerts")["alerts"]})
    assert firing >= {"TenantryPluginQuarantined"}
    assert not firing & {"TenantryDown", "TenantryDatabaseDown", "TenantryRedisErrors", "TenantryErrors"}


def test_counters_when_there_are_several_processes_then_nothing_is_lost_and_nothing_counted_twice(
    prometheus: Prometheus, deployment: Deployment
) -> None:
    assert figure(deployment, "tenantry_processes") == 2
    workers = [deployment.start("worker") for _ in range(2)]
    until(lambda: figure(deployment, "tenantry_processes") == 4)
    until(lambda: figure(deployment, "tenantry_jobs", state="queued", task="trials.stumble") == 0)
    requests, runs = requests_and_runs(deployment)
    limits = httpx.Limits(max_keepalive_connections=0)  # a connection each: both processes get some
    with httpx.Client(limits=limits, base_url=f"{deployment.url}/api/v1", timeout=30) as client:
        person = {"email": "round-0@example.com", "password": PASSWORD}
        until(lambda: client.post("/auth/login", json=person).status_code == 200)
        token = client.post("/auth/login", json=person).json()["data"]["access_token"]
        for _ in range(200):
            assert client.get("/health").status_code == 200
        for _ in range(40):
            authorization = {"Authorization": f"Bearer {token}"}
            assert client.post("/trials/stumble", headers=authorization).status_code == 204
    until(lambda: requests_and_runs(deployment)[1] >= runs + 40)
    assert requests_and_runs(deployment) == (requests + 200, runs + 40)
    workers[0].kill()
    until(lambda: figure(deployment, "tenantry_processes") == 3)
    assert requests_and_runs(deployment) == (requests + 200, runs + 40)
    workers[1].terminate()


def figure(deployment: Deployment, name: str, **labels: str) -> float:
    """The sum of the samples of a name with these labels among theirs."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(deployment.scrape())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def requests_and_runs(deployment: Deployment) -> tuple[float, float]:
    """How many health checks were answered and how many jobs failed as they were meant to."""
    answered = figure(deployment, "tenantry_http_requests_total", operation="host.platform.health")
    return answered, figure(deployment, "tenantry_job_runs_total", task="trials.stumble")
