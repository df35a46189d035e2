"""Planted defects: each a patch of this folder, whose first line names the rule it breaks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
SEEDS = FOLDER / "seeds.json"
HINT = "# look at: "
TEST = "# caught by: "
CONTEXT = 1
"""Lines of context that must match: the code around a defect may change."""


class NotApplied(Exception):
    """A patch does not fit the code any more: make it anew for the code as it is."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One patch. ``hint``: what a scenario should hold for the defect to show, from its second line.

    ``test``: instead, the test that fails with it, as pytest names it: where no simulated day is long enough, or few
    would show it.
    """

    name: str
    rule: str
    hint: frozenset[str]
    patch: Path
    test: str = ""


def load_defects(names: Collection[str] = ()) -> list[Defect]:
    """All of them, or those named."""
    patches = [path for path in sorted(FOLDER.glob("*.patch")) if not names or path.stem in names]
    return [_read(path) for path in patches]


def _read(path: Path) -> Defect:
    rule, second, *_ = path.read_text().splitlines()
    hint = second.removeprefix(HINT).split() if second.startswith(HINT) else []
    test = second.removeprefix(TEST).strip() if second.startswith(TEST) else ""
    return Defect(path.stem, rule.removeprefix("# "), frozenset(hint), path, test)


def plant(defect: Defect | None, folder: Path) -> None:
    """A copy of the package in a folder, with the defect in it. Raises NotApplied."""
    shutil.copytree(ROOT / "wanesync", folder / "wanesync")
    if defect is None:
        return
    # Outside of any repository: inside one, git would look for the files there.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent), "GIT_DIR": str(folder / "none")}
    command = ["git", "apply", f"-C{CONTEXT}", str(defect.patch)]
    applied = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if applied.returncode:
        raise NotApplied(f"{defect.patch.name}: {applied.stderr.strip()}")


def read_seeds() -> dict[str, list[int]]:
    """Defect -> seeds that caught it."""
    return json.loads(SEEDS.read_text()) if SEEDS.exists() else {}


def write_seeds(seeds: Mapping[str, Sequence[int]]) -> None:
    """Remember them, one defect a line."""
    standing = {defect.name for defect in load_defects()}
    lines = [f"  {json.dumps(name)}: {json.dumps(list(seeds[name]))}" for name in sorted(standing & set(seeds))]
    SEEDS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
