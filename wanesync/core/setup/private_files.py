"""Whether a file that holds a secret can be reached by others, by its owner, group and mode."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

OTHERS = 0o007
GROUP = 0o070
GROUP_READ = 0o040
ROOT = 0


class FileOwnership(Protocol):
    """What the operating system reports of a file (``os.stat_result``)."""

    @property
    def st_mode(self) -> int:
        """Type and permissions."""
        ...

    @property
    def st_uid(self) -> int:
        """Its owner."""
        ...

    @property
    def st_gid(self) -> int:
        """Its group."""
        ...


def find_exposure(path: object, found: FileOwnership, user: int, groups: Collection[int]) -> str:
    """Return how others can reach a file of a process of ``user`` and ``groups``, with the way out; "" if they cannot.

    It must belong to this user or to root. A group of the process may read it: Kubernetes mounts secrets so.
    """
    if found.st_uid not in (ROOT, user):
        return f"belongs to user {found.st_uid}, not to this process's user ({user}) or root: chown {user} {path}"
    mode = found.st_mode & 0o777
    readers = GROUP_READ if found.st_gid in groups else 0
    if not mode & (OTHERS | GROUP) & ~readers:
        return ""
    return f"can be read by others (mode {mode:04o}): chmod 600 {path} (640 if its group is one of this process's)"
