"""Prometheus' own tool reads the rules and the dashboard, and evaluates every expression of both."""

from __future__ import annotations

import pytest

from tests.robustness import prometheus_rules


def test_every_rule_fires_and_every_panel_shows_something(capfd: pytest.CaptureFixture[str]) -> None:
    result = prometheus_rules.main()
    output = "".join(capfd.readouterr())
    assert result == 0, output
    assert output.count("SUCCESS") == 3, output
