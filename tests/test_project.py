"""The repository itself: lock files, house rules that no tool checks, and what may lie at the top."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "wanesync"
LOCKS = ["requirements.lock", "requirements-dev.lock"]
DOCUMENTS = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "tests").rglob("*.md"),
]
ALLOWED = {
    ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md",
    "SECURITY.md", "config.example.toml", "deploy", "docs", "pyproject.toml", "requirements-dev.lock",
    "requirements.lock", "tests", "wanesync",
}  # fmt: skip
WITHOUT_MIRROR = {
    "bench": "benchmarks are measured, not tested; tests/bench has tests of the parts that compute",
    "demo": "the demonstration runs as a whole in tests/system/test_demo.py",
    "sandbox": "the stand-ins are tested through their HTTP endpoints and the vendors' own SDKs in tests/sandbox",
    "cli/commands/access/admin.py": "keeps running; tests/system/test_admin_service.py, tests/cli/commands/access",
    "cli/commands/bench.py": "runs the benchmarks; tests/system/test_bench.py",
    "cli/commands/demo.py": "runs the demonstration; tests/system/test_demo.py",
    "cli/commands/queue.py": "keeps running; tests/system/test_bus.py",
    "cli/commands/sandbox.py": "keeps running; tests/system/test_sandbox_cli.py",
    "cli/commands/serve.py": "keeps running; tests/system/test_cli_commands.py",
    "cli/commands/up.py": "keeps running; tests/system/test_cli_commands.py",
}
"""Folder or module of the package without mirrored tests -> the reason, and where its tests are."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMPORT_NAMES = {
    "argon2-cffi": "argon2",
    "azure-identity": "azure",
    "azure-keyvault-secrets": "azure",
    "google-cloud-secret-manager": "google",
    "hubspot-api-client": "hubspot",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "paho-mqtt": "paho",
}
"""Packages whose module is called otherwise."""
PURE_LIBRARIES = {"idna", "phonenumbers"}
"""Deterministic, without input or output: what the core may use beside the standard library."""
COME_ALONG = {"botocore", "markupsafe", "psycopg_pool", "pydantic_core", "requests"}
"""Modules that a requirement brings along, at the version that fits."""
MARK = re.compile(r"# *(type: ignore(\[[^]]*\])?|noqa\b(:( ?,? ?[A-Z]+[0-9]+)+)?|pragma: no \w+|nosec\b( B[0-9]+)*)")
"""What switches a check of a line off: a type, a rule of ruff, coverage, a finding of bandit."""
LOADED_BY_OTHERS = {"python_multipart"}
"""Modules that another requirement imports: FastAPI, where it reads a form."""
MANAGERS = {"aws", "gcp", "azure", "vault", "alerts"}
"""Extras that are installed where that secrets manager or service is used: only the tests have all of them."""


def pins(name: str) -> dict[str, str]:
    """Package -> version of a lock file."""
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^\s;]+)", (ROOT / name).read_text()))


def names(requirements: Iterable[object]) -> set[str]:
    """The packages that requirements name, without their versions; a group that includes another one names it apart."""
    return {match[0] for entry in requirements if (match := re.match(r"[a-z0-9-]+", str(entry)))}


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
    optional = PROJECT["project"]["optional-dependencies"]
    extras = chain(*(packages for extra, packages in optional.items() if extra not in MANAGERS))
    groups = PROJECT["dependency-groups"]
    assert names(chain(*(optional[extra] for extra in MANAGERS))) <= set(dev)
    assert names(PROJECT["project"]["dependencies"]) | names(extras) | names(groups["build"]) <= set(runtime)
    assert names(groups["dev"]) <= set(dev)
    assert runtime.items() <= dev.items()


def test_every_requirement_has_a_lower_bound_that_the_locks_keep() -> None:
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    extras = chain(*project["optional-dependencies"].values())
    listed = [entry for entry in chain(project["dependencies"], extras, *groups.values()) if isinstance(entry, str)]
    found = [re.fullmatch(r"([a-z0-9-]+)(?:\[[a-z,]+\])?>=([0-9.]+)(?:,<[0-9.]+)?", entry) for entry in listed]
    assert [entry for entry, match in zip(listed, found, strict=True) if match is None] == []
    locked = pins("requirements-dev.lock")
    too_old = [m[0] for m in found if m and version(locked[m[1]]) < version(m[2])]
    assert too_old == []


def version(text: str) -> list[int]:
    """The numbers of a release, for comparison."""
    return [int(part) for part in re.findall(r"\d+", text)]


def test_the_requirements_are_what_the_package_imports() -> None:
    used = {name for path in PACKAGE.rglob("*.py") for name in imports(path)}
    project = PROJECT["project"]
    required = names(chain(project["dependencies"], *project["optional-dependencies"].values()))
    modules = {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in required}
    assert modules - used == LOADED_BY_OTHERS, "required and never imported"
    assert used - modules - set(sys.stdlib_module_names) - COME_ALONG == {"wanesync"}, "imported and not required"


def test_the_core_imports_pure_libraries_only() -> None:
    allowed = sys.stdlib_module_names | {"wanesync"} | PURE_LIBRARIES
    others = {path.relative_to(ROOT).as_posix(): imports(path) - allowed for path in (PACKAGE / "core").rglob("*.py")}
    assert {path: names for path, names in others.items() if names} == {}


def test_modules_are_nouns() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert not [path for path in PACKAGE.rglob("*") if path.stem in vague]


def test_every_module_has_its_tests_at_the_same_place() -> None:
    modules = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if not path.stem.startswith("__")]
    without_tests = [
        path.as_posix()
        for path in modules
        if not any(place.as_posix() in WITHOUT_MIRROR for place in (path, *path.parents))
        and not (ROOT / "tests" / path.parent / f"test_{path.name}").exists()
    ]
    assert sorted(without_tests) == []


def test_every_module_without_mirrored_tests_exists() -> None:
    assert [place for place in WITHOUT_MIRROR if not (PACKAGE / place).exists()] == []


def test_only_what_belongs_there_lies_at_the_top() -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert {file.partition("/")[0] for file in files} <= ALLOWED


def test_every_rule_that_is_cited_is_written() -> None:
    rules = (ROOT / "docs" / "correctness.md").read_text()
    written = {name.lower().replace(" ", "-") for name in re.findall(r"(?m)^#+ (.+)$", rules)}
    sources = [path for folder in (PACKAGE, ROOT / "tests") for path in folder.rglob("*.py")]
    cited = {
        (anchor, path.relative_to(ROOT).as_posix())
        for path in [*sources, *DOCUMENTS]
        if path.name != "correctness.md"
        for anchor in re.findall(r"correctness\.md#([a-z-]+)", path.read_text())
    }
    assert [entry for entry in sorted(cited) if entry[0] not in written] == []


def list_marks(path: Path) -> list[tuple[int, str]]:
    """The lines with a mark that switches a check off, and what their comments say behind it."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return [(number, MARK.sub("", line[mark.start() :])) for number, line in lines if (mark := MARK.search(line))]


def test_every_mark_that_switches_a_check_off_has_its_reason_in_its_line() -> None:
    sources = [path for folder in (PACKAGE, ROOT / "tests", ROOT / ".ci") for path in sorted(folder.rglob("*.py"))]
    marks = [(path.relative_to(ROOT).as_posix(), *mark) for path in sources for mark in list_marks(path)]
    assert len(marks) > 100
    assert [f"{path}:{line}" for path, line, behind in marks if not re.search(r"\w{2}", behind)] == []


def test_links_of_a_document_lead_to_files() -> None:
    links = [(path, link) for path in DOCUMENTS for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())]
    assert [f"{path.name}: {link}" for path, link in links if not (path.parent / link).exists()] == []


def test_continuous_integration_runs_what_a_person_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-3:] == ["make test", "make audit", "make wheel-test"]


def test_help_names_every_door_of_the_makefile() -> None:
    text = (ROOT / "Makefile").read_text()
    doors = set(re.findall(r"(?m)^\.PHONY: (\S+)$", text))
    assert doors - {"help"} == set(re.findall(r"(?m)^\t@echo 'make (\S+)", text))
    called = set(re.findall(r"`make ([a-z-]+)", "".join(path.read_text() for path in DOCUMENTS)))
    assert called <= doors


def test_nothing_in_the_makefile_hides_what_stands_above_it() -> None:
    """Make takes the last definition of a macro, and of a target's recipe; what stands above it is never run."""
    text = (ROOT / "Makefile").read_text()
    macros = re.findall(r"(?m)^define (\S+)", text)
    recipes = re.findall(r"(?m)^([^\s.#:=][^\s:=]*):(?!=).*\n\t", text)
    assert {"install", "install_package"} <= set(macros)
    assert {"demo", "test", "$(VENV)/.dev"} <= set(recipes)
    assert [name for names in (macros, recipes) for name, times in Counter(names).items() if times > 1] == []


def test_every_input_that_failed_once_has_a_test(shared: Path) -> None:
    """The marks name the places in the list of cases, counted from 1; a case may have several tests."""
    listed = json.loads((shared / "cases" / "inputs.json").read_text())
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    marked = {int(number) for source in sources for number in re.findall(r"mark\.case\((\d+)\)", source)}
    assert marked == set(range(1, len(listed) + 1))
