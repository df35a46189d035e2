"""Garbage collection in a process whose requests have to leave on time."""

from __future__ import annotations

import gc

THRESHOLDS = (20_000, 20, 20)
"""Allocations per collection of the youngest objects, and collections of one generation per collection of the next;
Python's own are 700, 10, 10. Collecting at Python's rate took a twentieth of
the CPU time of a worker in ``bench burst``."""


def tune_gc() -> None:
    """Exempt everything loaded so far from collection, and collect less often. Call it once all libraries are loaded.

    A full collection stops all threads for 50 ms, and the requests it holds up then leave together; hardly anything in
    this program refers to itself in a cycle.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
