"""The dashboard and the alert rules in deploy/: every metric they use is on the page, every alarm has its alert."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.support.metrics import find_metrics, render_full_page
from wanesync.core.operating.alarms import CLASSES, AlarmCode

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "wanesync.json").read_text())
OF_OWN_NOTICES = {AlarmCode.NOTICES_UNDELIVERED}
"""Alarms about the notices of wanesync itself, which Prometheus does not send."""
_STRING = re.compile(r'"[^"]*"')
_METRIC = re.compile(r"\b(wanesync_[a-z_]+|up)\b(?:\{([^}]*)\})?")
_LABEL = re.compile(r"([a-z_]+)\s*=~?")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")


def _expressions() -> list[tuple[str, str]]:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    shown = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]
    return [*((rule["alert"], rule["expr"]) for rule in RULES), *shown]


def _name(code: str) -> str:
    return "Wanesync" + "".join(part.capitalize() for part in code.split("_"))


def test_expressions_use_only_metrics_and_labels_of_the_page(tmp_path: Path) -> None:
    labels_of = find_metrics(render_full_page(tmp_path)) | {"up": {"job", "instance"}}
    for name, expression in _expressions():
        metrics = _METRIC.findall(expression)
        assert metrics, name
        assert {metric for metric, _ in metrics} <= labels_of.keys(), name
        known: set[str] = set()
        for metric, matched in metrics:
            assert set(_LABEL.findall(_STRING.sub('""', matched))) <= labels_of[metric], name
            known |= labels_of[metric]
        grouped = {label.strip() for group in _GROUPED.findall(expression) for label in group.split(",")}
        assert grouped <= known, name
        assert expression.count("(") == expression.count(")"), name


def test_every_alarm_has_an_alert_of_its_name_and_level() -> None:
    alerts = {rule["alert"]: rule for rule in RULES}
    assert len(alerts) == len(RULES)
    for code in set(AlarmCode) - OF_OWN_NOTICES:
        rule = alerts[_name(code)]
        assert rule["labels"] == {"severity": CLASSES[code].level.label, "code": str(code)}
        assert rule["annotations"]["summary"] == CLASSES[code].title
    codes = {rule["labels"].get("code", "") for rule in RULES}
    assert codes - {""} == {str(code) for code in set(AlarmCode) - OF_OWN_NOTICES}


def test_every_rule_waits_and_says_what_to_do() -> None:
    for rule in RULES:
        assert re.fullmatch(r"\d+m", rule["for"])
        assert rule["annotations"]["description"].endswith(".")


def test_the_dashboard_can_be_imported() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert DASHBOARD["uid"] == "wanesync"
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource"}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


def test_everything_on_the_page_has_a_type_and_a_text(tmp_path: Path) -> None:
    page = render_full_page(tmp_path)
    described = set(re.findall(r"(?m)^# HELP (\S+) .+\.$", page))
    typed = set(re.findall(r"(?m)^# TYPE (\S+) (?:counter|gauge|histogram)$", page))
    assert described == typed
