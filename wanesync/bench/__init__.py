"""The benchmarks: real processes beside the sandbox, measured from outside, one module or folder per command.

Begin with ``environment``, which every benchmark starts from; ``report`` prints and writes the figures.
"""

from __future__ import annotations

from wanesync.core.errors import WanesyncError


class BenchFailed(WanesyncError):
    """A program under measurement did not do what the benchmark needs."""
