"""``wanesync --version`` names the version, the commit and the schema."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from wanesync import version
from wanesync.store.queries import Dialect, load_migrations


def test_the_line_names_version_commit_and_schema(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = tmp_path / "COMMIT"
    commit.write_text("6f1fd656065a\n")
    monkeypatch.setattr(version, "COMMIT_FILE", commit)
    schema = load_migrations(Dialect.SQLITE)[-1].number
    number = r"\d+\.\d+\.\d+"
    assert re.fullmatch(
        rf"wanesync {number} \(commit 6f1fd656065a, database schema {schema}\)", version.describe_version()
    )


def test_a_copy_without_git_says_that_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(version, "PACKAGE", tmp_path / "wanesync")
    monkeypatch.setattr(version, "COMMIT_FILE", tmp_path / "wanesync" / "COMMIT")
    assert version.read_commit() == ""
    assert "commit unknown" in version.describe_version()


@pytest.mark.slow
def test_git_tells_the_commit_of_a_checkout_and_whether_it_was_changed(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        own = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.invalid", *words]
        return subprocess.run(own, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    assert version.ask_git("git", tmp_path) == ""
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "--short=12", "HEAD")
    assert version.ask_git("git", tmp_path) == commit
    (tmp_path / "file").write_text("b")
    assert version.ask_git("git", tmp_path) == f"{commit}-dirty"
