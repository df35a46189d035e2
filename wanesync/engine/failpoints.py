"""Named failpoints: places where a test kills this very process, to see that nothing is lost or doubled.

``WANESYNC_FAILPOINT=name:n`` kills the process with SIGKILL when it passes ``name`` for the n-th time.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter

VARIABLE = "WANESYNC_FAILPOINT"

_TARGET, _, _times = os.environ.get(VARIABLE, "").partition(":")
_TIMES = int(_times or 1)
_passed: Counter[str] = Counter()
_guard = threading.Lock()


def failpoint(name: str) -> None:
    """Pass a failpoint; does nothing unless the environment names it."""
    if name != _TARGET:
        return
    with _guard:
        _passed[name] += 1
        if _passed[name] == _TIMES:
            os.kill(os.getpid(), signal.SIGKILL)
