"""A Unix user for each part of a run: numbers that nothing else uses, so that no account has to be made or removed."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FIRST_UID, LAST_UID = 61_184, 65_519
"""The range in which systemd gives users to services for as long as they run (systemd.exec(5), DynamicUser)."""
TRY_S = 30
OPENER = """\
import json, os, sys
found = []
for path in json.load(sys.stdin):
    try:
        os.close(os.open(path, os.O_RDONLY))
        found.append(path)
    except OSError:
        pass
print(json.dumps(found))
"""
"""Prints which of some paths this process may open; a folder counts as open where it can be listed."""


def runs_as_root() -> bool:
    """Whether processes can be started as other users."""
    return os.geteuid() == 0


def find_free_users(count: int) -> list[int]:
    """Numbers that no account has and no process runs as. Without root: ours, as often as wanted."""
    if not runs_as_root():
        return [os.geteuid()] * count
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError):
            taken.add(process.stat().st_uid)
    return [uid for uid in range(FIRST_UID, LAST_UID) if uid not in taken][:count]


@dataclass(frozen=True, slots=True)
class User:
    """One user with a folder that no other one can enter, and whose files are read-only even to itself."""

    uid: int
    folder: Path

    def prepare(self) -> None:
        """Make the folder."""
        self.folder.mkdir(parents=True)
        self._own(self.folder, 0o700)

    def give(self, name: str, content: str) -> Path:
        """Write a file of mode 0400 that belongs to the user."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(content)
        self._own(path, 0o400)
        return path

    def _own(self, path: Path, mode: int) -> None:
        if runs_as_root():
            os.chown(path, self.uid, self.uid)
        path.chmod(mode)

    def environment(self) -> dict[str, str]:
        """An environment with nothing of ours."""
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def spawn(
        self, command: Sequence[str], env: Mapping[str, str], log: IO[str], stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Start a command as this user, in its folder."""
        switch = runs_as_root()
        return subprocess.Popen(
            list(command),
            env=dict(env),
            cwd=self.folder,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            user=self.uid if switch else None,
            group=self.uid if switch else None,
            extra_groups=[] if switch else None,
        )

    def find_readable(self, python: str, paths: Iterable[Path]) -> set[Path]:
        """Those of some files and folders which a process of this user can open."""
        with (
            Path(os.devnull).open("w") as nothing,
            self.spawn([python, "-c", OPENER], self.environment(), nothing, subprocess.PIPE) as process,
        ):
            answer, _ = process.communicate(json.dumps([str(path) for path in paths]), TRY_S)
        assert process.returncode == 0, f"user {self.uid} cannot run {python}"
        return {Path(path) for path in json.loads(answer)}
