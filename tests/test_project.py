"""The repository itself: lock files, house rules that no tool checks, and what may lie at the top."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "wanesync"
LOCKS = ["requirements.lock", "requirements-dev.lock"]
ALLOWED = {
    ".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "config.example.toml", "docs",
    "pyproject.toml", "requirements-dev.lock", "requirements.lock", "tests", "wanesync",
}  # fmt: skip
IMPORT_NAMES = {"hubspot-api-client": "hubspot"}
"""Packages whose module is called otherwise."""


def pins(name: str) -> dict[str, str]:
    """Package -> version of a lock file."""
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^\s;]+)", (ROOT / name).read_text()))


def wanted(extra: str | None = None) -> set[str]:
    """The packages that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {match[0] for entry in listed if (match := re.match(r"[a-z0-9-]+", entry))}


def imports(path: Path) -> set[str]:
    """The top names of everything a module imports, at whatever depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) > 20
    for block in blocks:
        assert re.match(r"[a-z0-9-]+==\S+( ; [^\\]+)? \\\n", block), block[:80]
        assert len(re.findall(r"(?m)^    --hash=sha256:[0-9a-f]{64}(?: \\)?$", block)) == block.count("\n"), block[:80]
    assert not re.search(r"://|index-url|find-links|file:", text)


def test_the_locks_hold_what_the_project_names_and_agree() -> None:
    runtime, dev = (pins(name) for name in LOCKS)
    assert wanted() | wanted("build") <= set(runtime)
    assert wanted("dev") <= set(dev)
    assert runtime.items() <= dev.items()


def test_every_runtime_dependency_is_used() -> None:
    used = {name for path in PACKAGE.rglob("*.py") for name in imports(path)}
    assert {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in wanted()} - used == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda path: path.stem)
def test_the_core_imports_the_standard_library_only(path: Path) -> None:
    assert imports(path) <= sys.stdlib_module_names | {"wanesync"}


def test_modules_are_nouns() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert not [path for path in PACKAGE.rglob("*") if path.stem in vague]


def test_only_what_belongs_there_lies_at_the_top() -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert {file.partition("/")[0] for file in files} <= ALLOWED


def test_continuous_integration_runs_what_a_person_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-1] == "exec make test"
