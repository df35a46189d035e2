"""``python -m tests.robustness.mutants.replay NAME ...``: whether the recorded seeds still catch each defect.

Prints, as JSON, the defects that get away, and why.
"""

from __future__ import annotations

import json
import sys

from tests.robustness.mutants.defects import NotApplied, load_defects, read_seeds
from tests.robustness.mutants.hunting import hunt, preload

AGAIN = "run make mutants, which records the seeds that catch it now"


def main(names: list[str]) -> int:
    """Exit code 0: all were caught."""
    recorded, missed = read_seeds(), {}
    preload()
    for defect in load_defects(names):
        seeds = recorded.get(defect.name, [])
        try:
            if not hunt(defect, seeds, 1, 1):
                missed[defect.name] = f"seeds {seeds} do not catch it: {AGAIN}"
        except NotApplied as error:
            missed[defect.name] = f"does not apply: {error}"
    json.dump(missed, sys.stdout)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
