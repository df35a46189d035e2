"""A bulk run whose processes are killed does each dead letter once.

``python -m tests.robustness.bulk_run_kills`` does it at length, on either database.
"""

from __future__ import annotations

from tests.robustness.bulk_run_kills import kill_again_and_again


def test_no_letter_is_done_twice_or_left_out(sqlite_url: str) -> None:
    outcome = kill_again_and_again(sqlite_url, letters=400, kills=2, seed=7)
    assert outcome.is_well, str(outcome)
    assert outcome.kills == 2
