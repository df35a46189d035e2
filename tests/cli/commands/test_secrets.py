"""``secrets check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wanesync.cli.main import app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wanesync.toml"
    path.write_text('[stripe]\napi_key = "env:KEY"\nwebhook_secret = "aws-sm:hook"\n')
    return path


def run(file: Path, *options: str, **env: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["secrets", "check", *options, "--config", str(file)], env=env)
    return done.exit_code, done.stdout


def test_a_table_shows_each_secret_and_what_is_wrong(file: Path) -> None:
    code, shown = run(file, "--role", "stripe-worker")
    assert code == 1
    assert "stripe.api_key: env:KEY is not set" in shown
    assert "aws-sm" not in shown
    code, shown = run(file, "--role", "stripe-worker", KEY="sk_test_planted")
    assert code == 0
    assert "planted" not in shown
    assert "env:KEY" in shown


def test_the_policies_are_printed_by_role(file: Path) -> None:
    code, shown = run(file, "--policy")
    assert code == 0
    assert "# stripe-handler: aws-sm\n{" in shown
    assert "# stripe-worker" not in shown
    code, shown = run(file, "--role", "stripe-worker", "--json", KEY="sk_test_planted")
    assert (code, json.loads(shown)["policies"]) == (0, {})
