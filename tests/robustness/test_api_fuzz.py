"""Every route of the API under values that its description allows and forbids: the small version."""

from __future__ import annotations

from tests.robustness.api_fuzz import fuzz, open_target

EXAMPLES = 3


def test_no_answer_is_outside_the_description() -> None:
    with open_target() as target:
        found = fuzz(target, EXAMPLES)
        assert set(found.answers) >= {"GET /api/v1/status", "POST /api/v1/holds/{hold_id}/release"}
    assert "\n\n".join(f"{label}: {text}" for (label, _), text in found.wrong.items()) == ""
