"""An installation without any process, on which commands run inside the process of the tests."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from wanesync.cli.main import app
from wanesync.config.model import load
from wanesync.store import Store
from wanesync.terminal import JSON_VERSION
from wanesync.wiring import build_decision_runtime, open_database

CONFIG = """\
database = "sqlite:wanesync.db"
[create]
customers = "all"
contacts = "all"
"""


class Installation:
    """A configuration file, its database, and a runner of commands in this process."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "wanesync.toml"
        self.file.write_text(CONFIG)
        self.store: Store = open_database(load(self.file, {}), migrate=True)

    def claim_map(self) -> None:
        """Let the database work with the configured fields, so that what is stored next holds them."""
        build_decision_runtime(load(self.file, {}), self.store)

    def run(self, *arguments: str) -> Result:
        """Run a command that is to succeed."""
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.file)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done

    def ask_rows(self, key: str, *arguments: str) -> list[dict[str, object]]:
        """The list under a key of a command's JSON document."""
        found = self.ask(*arguments)[key]
        assert isinstance(found, list)
        return found

    def ask(self, *arguments: str) -> dict[str, object]:
        """The JSON document of a command, without its version."""
        found = json.loads(self.run(*arguments, "--json").stdout)
        assert isinstance(found, dict)
        assert found.pop("version") == JSON_VERSION
        return found
