"""The steps of deploy/container/Containerfile in an empty folder, for a machine that can build no image.

    python -m tests.robustness.containerfile

Each COPY copies what the ignore file lets through, each RUN runs, and what the last stage starts is started as another
user with a file system it cannot write. What an image adds to that, its base and its isolation, is not tried.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "container" / "Containerfile"
PREFIX = "/opt/wanesync"
SYSTEM_PYTHON = "/usr/bin/python3"
"""One that every user may run; that of a virtual environment may be in a private home."""


def read_steps(text: str) -> list[tuple[str, str]]:
    """Instruction -> its arguments, in order; of both stages."""
    joined = text.replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def is_let_through(path: str, rules: list[str]) -> bool:
    """Whether an ignore file lets a path into the build: the last rule that names it or a folder above it decides."""
    found = True
    parts = path.split("/")
    above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    for rule in rules:
        pattern = rule.removeprefix("!")
        names = [part for part in parts if fnmatch(part, pattern.removeprefix("**/"))] if "**/" in pattern else []
        if names or any(fnmatch(one, pattern) for one in above):
            found = rule.startswith("!")
    return found


def copy_context(target: Path) -> None:
    """Copy the files of the repository that the ignore file lets through."""
    rules = [
        line
        for line in FILE.with_name(f"{FILE.name}.dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if is_let_through(name, rules) and (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_steps(folder: Path) -> Path:
    """Run the steps of the first stage below ``folder``; return the installation that the second one copies."""
    installed = folder / PREFIX.removeprefix("/")
    installed.parent.mkdir(parents=True)
    source = folder / "src"
    source.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)} | {
        name: value for name, value in os.environ.items() if name.startswith("PIP_")
    }
    for name, rest in read_steps(FILE.read_text().partition("\nFROM ")[2].partition("\nFROM ")[0]):
        if name == "COPY" and rest == ". ./":
            copy_context(source)
        elif name == "COPY":
            shutil.copy2(ROOT / rest.split()[0], source)
        elif name == "RUN":
            command = [re.sub(PREFIX, str(installed), word) for word in shlex.split(rest)]
            if command[0] == "python":
                command[0] = SYSTEM_PYTHON
            sys.stdout.write(f"{rest}\n")
            subprocess.run(command, cwd=source, env=env, check=True)
    return installed


def start(installed: Path) -> None:
    """Start what the image starts, as its user: it must need to write nothing."""
    before = set(installed.rglob("*"))
    env = {"PATH": f"{installed}/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    for command in (["wanesync", "--help"], ["python", "-c", "import wanesync.serverless.container"]):
        subprocess.run(
            [str(installed / "bin" / command[0]), *command[1:]], user=10_000, group=10_000, extra_groups=[], cwd="/",
            env=env, check=True, capture_output=True,
        )  # fmt: skip
    assert set(installed.rglob("*")) == before


def main() -> None:
    """Try the file."""
    with tempfile.TemporaryDirectory(prefix="wanesync-image-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        installed = run_steps(folder)
        start(installed)
        size = sum(path.stat().st_size for path in installed.rglob("*") if path.is_file() and not path.is_symlink())
        sys.stdout.write(f"done: {size / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main()
