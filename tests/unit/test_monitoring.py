"""The alert rules and the dashboard: sound by Prometheus's own judgement, and about what the exporter tells."""

import inspect
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import exporter, reasons
from orchestrator.embedded.process import CHECKOUT

PROMTOOL = shutil.which("promtool")
RULES = CHECKOUT / "deploy" / "prometheus"
DASHBOARD: dict[str, Any] = json.loads((CHECKOUT / "deploy" / "grafana" / "reembed.json").read_text())
ALERTS: list[dict[str, Any]] = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"][0]["rules"]

EXPRESSIONS = [
    *(rule["expr"] for rule in ALERTS),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    *(note["expr"] for note in DASHBOARD["annotations"]["list"]),
]

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (apt-get install prometheus)"
)


def told() -> set[str]:
    """The names in the exporter's source, as Prometheus has them."""
    calls = re.findall(r'\.(gauge|counter)\(\s*"(\w+)"', inspect.getsource(exporter))
    return {"reembed_up"} | {f"reembed_{name}{'_total' if kind == 'counter' else ''}" for kind, name in calls}


def promtool(*words: str, directory: Path) -> str:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *words], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alerts_and_dashboard_ask_for_nothing_that_is_not_told() -> None:
    asked = {name for expression in EXPRESSIONS for name in re.findall(r"reembed_\w+", expression)}
    assert asked <= told()


def test_everything_that_is_told_is_on_the_dashboard_or_wakes_somebody() -> None:
    asked = {name for expression in EXPRESSIONS for name in re.findall(r"reembed_\w+", expression)}
    (of_variables,) = (
        variable["query"]["query"]
        for variable in DASHBOARD["templating"]["list"]
        if variable["name"] == "migration"
    )
    # What rate() over documents says better
    assert told() - asked - set(re.findall(r"reembed_\w+", of_variables)) == {
        "reembed_documents_per_second",
        "reembed_quota_held_requests_total",
    }


def test_each_panel_has_a_place_of_its_own() -> None:
    taken = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) == 23


def test_every_alert_is_documented_with_its_severity_and_no_other() -> None:
    operations = (CHECKOUT / "docs" / "operations.md").read_text()
    documented = re.findall(r"^\| `(Reembed\w+)` \| (\w+) \|", operations, re.MULTILINE)
    assert set(documented) == {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}


def test_alerts_know_only_kinds_of_reasons_that_there_are() -> None:
    named = {
        kind
        for expression in EXPRESSIONS
        for kinds in re.findall(r'kind=~?"([^"]+)"', expression)
        for kind in kinds.split("|")
    }
    assert named <= set(reasons.KINDS)


@needs_promtool
def test_prometheus_takes_the_configuration_with_its_rules() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml", directory=RULES)


@needs_promtool
def test_each_alert_wakes_for_what_it_says_and_for_nothing_else() -> None:
    promtool("test", "rules", "alerts_test.yml", directory=RULES)
    tried = re.findall(
        r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n", (RULES / "alerts_test.yml").read_text()
    )
    assert set(tried) == {rule["alert"] for rule in ALERTS}


@needs_promtool
def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    filled = [
        expression.replace("$__rate_interval", "5m").replace("$migration", "1") for expression in EXPRESSIONS
    ]
    rules = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(filled)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", "panels.yml", directory=tmp_path)
