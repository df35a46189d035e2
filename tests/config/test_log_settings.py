"""The table ``[log]``."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from wanesync.config.log_settings import Log


def test_lines_are_stored_only_where_that_is_asked_for() -> None:
    assert not Log().store
    assert Log(store=True).store_lines == 200_000


@pytest.mark.parametrize("given", [{"store_rate": 0}, {"store_lines": 10}, {"level": "loud"}])
def test_what_is_absurd_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Log.model_validate(given)
