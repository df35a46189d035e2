"""What this program is: its version, the commit it was built from, and the schema its databases have."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wanesync.store.queries import Dialect, load_migrations

PACKAGE = Path(__file__).parent
COMMIT_FILE = PACKAGE / "COMMIT"
"""Written by the build (.ci/build_hook.py); an installation from a checkout asks git instead."""
GIT_TIMEOUT_S = 5
"""Our choice: git reads two files; a checkout on a hanging network disk must not hang the program."""


def describe_version() -> str:
    """Return one line, such as ``wanesync 0.1.0 (commit 6f1fd65a0b1c, database schema 1)``."""
    try:
        number = version("wanesync")
    except PackageNotFoundError:
        number = "not installed"
    schema = load_migrations(Dialect.SQLITE)[-1].number
    return f"wanesync {number} (commit {read_commit() or 'unknown'}, database schema {schema})"


def read_commit() -> str:
    """Return the commit this program was built from, ``-dirty`` if its files were changed since; empty if unknown."""
    if COMMIT_FILE.exists():
        return COMMIT_FILE.read_text(encoding="ascii").strip()
    git = shutil.which("git")
    if git is None or not (PACKAGE.parent / ".git").exists():
        return ""
    return ask_git(git, PACKAGE.parent)


def ask_git(git: str, checkout: Path) -> str:
    """Return the commit of a checkout, empty where git refuses to say (another owner, no commit yet)."""
    asked = [git, "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12", "--match="]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True)  # noqa: S603 - fixed words
    except (subprocess.SubprocessError, OSError):
        return ""
    return done.stdout.strip()
