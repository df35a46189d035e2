"""How Python looks for garbage in a process whose requests have to leave on time."""

from __future__ import annotations

import gc

THRESHOLDS = (20_000, 20, 20)


def tune_gc() -> None:
    """Once all libraries are loaded: they stay for good, and what refers to itself is looked for less often.

    A collection of everything stops all threads for 50 ms, and the requests it held up bunch; hardly anything of ours
    refers to itself, and looking for it at Python's own rate costs a twentieth of all time.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
