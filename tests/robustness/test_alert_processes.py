"""What the command judges: everything that was planted is told exactly once.

``python -m tests.robustness.alert_processes`` plays it with real processes; tests/ops/alerts by a clock of the test.
"""

from __future__ import annotations

from tests.robustness.alert_processes import CHOSEN, CODES, judge


def test_what_is_told_twice_or_not_at_all_is_named() -> None:
    assert len(CHOSEN) == len(CODES) == 11
    told = [(kind, str(code)) for kind in ("raised", "recovered") for code in CODES]
    assert judge([*told, ("raised", "no_worker")], "slack") == []
    assert judge([*told[1:], told[3]], "slack") == [
        f"slack: raised {CODES[0]} 0 times",
        f"slack: raised {CODES[3]} 2 times",
    ]
