"""``python -m tests.robustness.prometheus_rules``: Prometheus' own tool reads the rules and a page of metrics.

Needs ``promtool`` (``make prometheus``). It checks the syntax of the rules and of the dashboard's expressions, looks
the names of the metrics over, raises every alert once with planted series, and evaluates every expression of the
dashboard over a recorded page of metrics: each shows something.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.metrics import render_full_page
from wanesync.output import print_line

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
MEASURED: dict[str, list[tuple[str, str]]] = {
    "WanesyncDown": [('up{job="wanesync",instance="one"}', "0x60")],
    "WanesyncDatabaseUnreadable": [("wanesync_gauges_available", "0x60")],
    "WanesyncRateLimited": [
        ('wanesync_vendor_requests_total{side="stripe",operation="customers.create",result="rate_limited"}', "0+30x60")
    ],
    "WanesyncAttemptsFail": [
        ('wanesync_jobs_ended_total{side="stripe",kind="write",ending="done"}', "0+60x60"),
        ('wanesync_jobs_ended_total{side="stripe",kind="write",ending="retry"}', "0+60x60"),
    ],
    "WanesyncShareInTarget": [('wanesync_in_target_share{window="hour"}', "0.5x60")],
    "WanesyncWebhooksSilent": [('wanesync_webhook_outcomes_total{side="stripe",outcome="accepted"}', "7x60")],
    "WanesyncSidesDiffer": [("wanesync_conflicts_open", "100x60")],
}
"""Alert -> the series that raise it, at two doors; all others are raised by ``wanesync_alarm`` with their code."""


def main() -> int:
    """Run every check; return 0 if all of them pass."""
    tool = shutil.which("promtool")
    if tool is None:
        print_line("promtool is missing: make prometheus", error=True)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = render_full_page(folder)
        cases = folder / "cases.yml"
        cases.write_text(yaml.safe_dump(_make_cases(page)))
        dashboard = folder / "dashboard.yml"
        dashboard.write_text(yaml.safe_dump(_as_rules()))
        commands = [
            [tool, "check", "rules", str(RULES)],
            [tool, "check", "rules", str(dashboard)],
            [tool, "test", "rules", str(cases)],
        ]
        worst = max(subprocess.run(command, check=False).returncode for command in commands)
        looked = subprocess.run([tool, "check", "metrics"], input=page, text=True, check=False, capture_output=True)
        print_line(looked.stdout + looked.stderr or "The metrics: nothing to say")
        # 3: only its advice on names, which stay as they were before Prometheus' own suffixes were used.
        return max(worst, 0 if looked.returncode in (0, 3) else looked.returncode)


def _rules() -> list[dict[str, object]]:
    rules: list[dict[str, object]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return rules


def _make_cases(page: str) -> dict[str, object]:
    tests = [_show_dashboard(page)]
    for rule in _rules():
        alert = str(rule["alert"])
        labels = rule["labels"]
        assert isinstance(labels, dict)
        code, severity = labels.get("code", ""), labels["severity"]
        planted = MEASURED.get(alert) or [(f'wanesync_alarm{{code="{code}",level="{severity}"}}', "1x60")]
        tests.append(
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in planted],
                "promql_expr_test": [
                    {
                        "expr": f'count by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}})',
                        "eval_time": "40m",
                        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}],
                    }
                ],
            }
        )
    return {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}


def _show_dashboard(page: str) -> dict[str, object]:
    """Every series of the page, which grows by its value each minute, and that each expression has a result then."""
    recorded = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    series = [
        {"series": _name_series(sample.name, sample.labels), "values": f"{sample.value:g}+{sample.value:g}x60"}
        for sample in recorded
    ]
    series.append({"series": 'up{job="wanesync",instance="one"}', "values": "1x60"})
    shown = [
        {
            "expr": f"count({expression}) > bool 0",
            "eval_time": "40m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for expression in _expressions()
    ]
    return {"interval": "1m", "input_series": series, "promql_expr_test": shown}


def _name_series(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(f'{label}={json.dumps(value)}' for label, value in labels.items())}}}"


def _expressions() -> list[str]:
    """The expressions of the dashboard, as Grafana sends them."""
    panels = json.loads((DEPLOY / "grafana" / "wanesync.json").read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [expression.replace("$__rate_interval", "5m") for expression in found]


def _as_rules() -> dict[str, object]:
    """The expressions of the dashboard as recording rules, which the tool can check."""
    rules = [
        {"record": f"dashboard:expression:{number}", "expr": expression}
        for number, expression in enumerate(_expressions())
    ]
    return {"groups": [{"name": "dashboard", "rules": rules}]}


if __name__ == "__main__":
    sys.exit(main())
