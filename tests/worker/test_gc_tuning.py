"""Garbage collection of a worker."""

from __future__ import annotations

import gc

from wanesync.worker.gc_tuning import THRESHOLDS, tune_gc


def test_what_is_loaded_is_exempt_and_collections_become_rarer() -> None:
    before = gc.get_threshold()
    try:
        tune_gc()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
