"""Writes the commit a package is built from into it, for ``wanesync --version``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DESCRIBE = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--match="]


class CommitHook(BuildHookInterface):
    """Adds ``wanesync/COMMIT``; a source without git and without that file is built without."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build; an editable installation asks git whenever it is needed."""
        if version == "editable" or not (Path(self.root) / ".git").exists():
            return
        try:
            done = subprocess.run(DESCRIBE, cwd=self.root, capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
        except (OSError, subprocess.CalledProcessError):
            return
        written = Path(self.directory) / "COMMIT"
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(done.stdout, encoding="ascii")
        build_data["force_include"][str(written)] = "wanesync/COMMIT"
