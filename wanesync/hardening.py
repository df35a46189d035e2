"""What a process that holds secrets leaves behind when it crashes: no core dump, and nothing that others may read."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress

PR_SET_DUMPABLE = 4
"""Option of prctl(2)."""


def forbid_core_dumps() -> None:
    """Let this process leave no core dump, and let no other process of its user read its memory or environment.

    The limit holds for the children as well, the rest until they run another program. prctl(2) is Linux's alone.
    """
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
