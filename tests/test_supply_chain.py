"""The supply chain: hashes of what is locked, the list of what is installed, reasons of ignored findings."""

from __future__ import annotations

import importlib.util
import json
import re
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = (
    *sorted(ROOT.glob("requirements*.lock")),
    *sorted((ROOT / "tests" / "bench").glob("requirements-*.txt")),
    ROOT / ".ci" / "requirements-audit.txt",
)


@pytest.fixture(name="chain", scope="module")
def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply_chain", ROOT / ".ci" / "supply_chain.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_that_is_locked_has_its_version_and_hashes_and_no_address(lock: Path, chain: ModuleType) -> None:
    text = lock.read_text(encoding="utf-8")
    names = re.findall(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)", text)
    pins = chain.PIN.findall(text)
    assert [name for name, _, _ in pins] == names
    assert [name for name, _, rest in pins if not chain.HASH.search(rest)] == []
    assert re.findall(r"://|--index-url|--find-links|--trusted-host| @ ", text) == []


def test_the_installed_versions_are_the_locked_ones(chain: ModuleType) -> None:
    locked = chain.read_lock((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    for name in ("stripe", "hubspot-api-client", "cryptography", "urllib3", "certifi", "uvicorn"):
        assert version(name) == locked[name][0]


ENVIRONMENT = {
    "metadata": {"component": {"bom-ref": "root", "name": "wanesync"}},
    "components": [
        {"bom-ref": "a", "name": "A_part", "version": "1.0"},
        {"bom-ref": "d", "name": "dev-tool", "version": "2.0"},
    ],
    "dependencies": [{"ref": "root", "dependsOn": ["a", "d"]}, {"ref": "a"}, {"ref": "d", "dependsOn": ["a"]}],
}
LOCK = f"a-part==1.0 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n"


def test_the_list_of_parts_holds_what_is_locked_with_its_hashes(chain: ModuleType) -> None:
    made = chain.make_sbom(ENVIRONMENT, chain.read_lock(LOCK))
    [part] = made["components"]
    assert [one["content"] for one in part["externalReferences"][0]["hashes"]] == ["a" * 64, "b" * 64]
    assert made["dependencies"] == [{"ref": "root", "dependsOn": ["a"]}, {"ref": "a", "dependsOn": []}]
    with pytest.raises(ValueError, match=r"installed as 1\.0, and locked as 1\.1: run make lock"):
        chain.make_sbom(ENVIRONMENT, chain.read_lock(LOCK.replace("==1.0", "==1.1")))


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("run(words)  # noqa: S603 - fixed words", True),
        ("run(words)  # noqa: PLC0415, S603 - fixed words", True),
        ("run(words)  # noqa: S603", False),
        ("run(words)  # noqa: S608 - another rule", False),
        ("run(words)", False),
    ],
)
def test_a_finding_needs_a_reason_in_its_line(chain: ModuleType, tmp_path: Path, line: str, accepted: bool) -> None:
    (tmp_path / "a.py").write_text(f"# Only this interpreter.\n{line}\n")
    found = {"filename": "a.py", "test_id": "B603", "line_range": [2], "line_number": 2, "issue_text": "call"}
    assert (chain.judge_bandit({"errors": [], "results": [found]}, tmp_path) == []) == accepted
    assert chain.judge_bandit({"errors": [{"filename": "a.py", "reason": "no Python"}], "results": []}, tmp_path)


def test_a_service_that_cannot_be_reached_is_no_error_and_a_vulnerability_is(chain: ModuleType) -> None:
    skipped = {"name": "b", "version": "1", "skip_reason": "not found"}
    for nothing in ("", "{}", json.dumps({"dependencies": [skipped]})):
        assert chain.judge_known(nothing) == ([], "known vulnerabilities: not run: the service cannot be reached")
    clean = {"name": "a", "version": "1", "vulns": []}
    problems, text = chain.judge_known(json.dumps({"dependencies": [clean, skipped]}))
    assert (problems, text) == ([], "known vulnerabilities: 0 in 1 parts; not known to the service: b")
    bad = {**clean, "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    assert chain.judge_known(json.dumps({"dependencies": [bad]}))[0] == ["a 1: PYSEC-1, repaired in 2"]
