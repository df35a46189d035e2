"""``docs/sandbox.md`` names everything that the sandbox offers."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from wanesync.cli.commands.sandbox import app
from wanesync.sandbox import control
from wanesync.sandbox.faults import PROFILES, Faults
from wanesync.sandbox.hubspot.properties import RULE_SETTINGS, SETTINGS
from wanesync.sandbox.stripe.dashboard import EDITS

OF_ALL = {"--json", "--install-completion", "--show-completion", "--help"}
TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def text() -> str:
    return (TOP / "docs" / "sandbox.md").read_text(encoding="utf-8")


def test_every_endpoint_fault_and_profile_is_described(text: str) -> None:
    endpoints = [f"`{method} /_sandbox/{name}`" for method, name in control._ENDPOINTS]
    faults = [f"`{field.name}`" for field in fields(Faults)]
    profiles = [f"`{name}`" for name in PROFILES]

    assert [name for name in (*endpoints, *faults, *profiles) if name not in text] == []


def test_every_edit_and_setting_is_described(text: str) -> None:
    assert [name for name in (*EDITS, *SETTINGS, *RULE_SETTINGS) if f"`{name}`" not in text] == []


def test_every_option_is_described(text: str) -> None:
    command = typer.main.get_command(app)
    options = [
        name for option in command.params for name in option.opts if name.startswith("--") and name not in OF_ALL
    ]

    assert len(options) > 10
    assert [name for name in options if f"`{name}" not in text and f" {name}" not in text] == []


def test_the_figure_is_that_of_the_record(text: str) -> None:
    record = json.loads((TOP / "tests/sandbox/stripe/triggers.json").read_text(encoding="utf-8"))["triggers"]
    (passing,) = re.findall(r"(\d+) of the 123 triggers", text)

    assert int(passing) == len(record)
