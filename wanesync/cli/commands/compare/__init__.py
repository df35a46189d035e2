"""Compare and repair: diff, reconcile, its runs, catch-up."""
