"""The judgements of `make sbom` and `make audit`: what the tools find, and what of it is an error.

`sbom LOCK` makes the list of the installed parts of the lock file, with the hashes of the lock, from the CycloneDX list
of an environment on standard input. `bandit` reads bandit's JSON report: a finding is accepted where ruff's rule of the
same number is ignored in its line, with the reason there. `known` reads pip-audit's: a service without an answer is no
error.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
NOT_RUN = "known vulnerabilities: not run: the service cannot be reached"


def read_lock(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return normalised name -> version and SHA-256 hashes of a lock file."""
    return {_normalise(name): (version, HASH.findall(rest)) for name, version, rest in PIN.findall(text)}


def make_sbom(environment: dict[str, Any], lock: dict[str, tuple[str, list[str]]]) -> dict[str, Any]:
    """Return the part of an environment's list that is locked, with hashes. Raises ValueError where they differ."""
    kept = []
    for part in environment["components"]:
        found = lock.get(_normalise(part["name"]))
        if found is None:
            continue
        version, hashes = found
        if part["version"] != version:
            raise ValueError(
                f"{part['name']} is installed as {part['version']}, and locked as {version}: run make lock"
            )
        # The installed files are one of the archives of the lock; pip has compared it.
        reference = {"type": "distribution", "url": f"pkg:pypi/{part['name']}@{version}"}
        reference["hashes"] = [{"alg": "SHA-256", "content": one} for one in hashes]
        kept.append({**part, "externalReferences": [*part.get("externalReferences", []), reference]})
    refs = {part["bom-ref"] for part in kept} | {environment["metadata"].get("component", {}).get("bom-ref")}
    edges = [
        {**edge, "dependsOn": [ref for ref in edge.get("dependsOn", []) if ref in refs]}
        for edge in environment.get("dependencies", [])
        if edge["ref"] in refs
    ]
    return {**environment, "components": kept, "dependencies": edges}


def judge_bandit(report: dict[str, Any], root: Path) -> list[str]:
    """Return a line for each finding of bandit that no reason in its line answers."""
    problems = [f"{error['filename']}: {error['reason']}" for error in report["errors"]]
    for found in report["results"]:
        rule = found["test_id"].replace("B", "S")
        lines = (root / found["filename"]).read_text(encoding="utf-8").splitlines()
        numbers = range(found["line_range"][0] - 1, found["line_range"][-1])
        if not any(_has_reason(lines[number], rule) for number in numbers):
            problems.append(f"{found['filename']}:{found['line_number']}: {found['test_id']} {found['issue_text']}")
    return problems


def _has_reason(line: str, rule: str) -> bool:
    return re.search(rf"# noqa: [^-]*\b{rule}\b.* - ", line) is not None


def judge_known(report: str) -> tuple[list[str], str]:
    """Return a line for each known vulnerability, and in words what was looked at."""
    try:
        parts = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        return [], NOT_RUN
    asked = [part for part in parts if "skip_reason" not in part]
    if not asked:
        return [], NOT_RUN
    problems = [
        f"{part['name']} {part['version']}: {one['id']}, repaired in {', '.join(one['fix_versions']) or 'no version'}"
        for part in asked
        for one in part["vulns"]
    ]
    left_out = sorted(part["name"] for part in parts if "skip_reason" in part)
    text = f"known vulnerabilities: {len(problems)} in {len(asked)} parts"
    return problems, f"{text}; not known to the service: {', '.join(left_out)}" if left_out else text


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Run one judgement; 1 if it finds an error."""
    match sys.argv[1:]:
        case ["sbom", lock]:
            made = make_sbom(json.load(sys.stdin), read_lock(Path(lock).read_text(encoding="utf-8")))
            sys.stdout.write(json.dumps(made, indent=2) + "\n")
            return 0
        case ["bandit"]:
            problems, text = judge_bandit(json.load(sys.stdin), Path()), "bandit: nothing without a reason"
        case ["known"]:
            problems, text = judge_known(sys.stdin.read())
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    sys.stdout.write("\n".join(problems or [text]) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
