"""Without tracing nothing is traced."""

from __future__ import annotations

from wanesync.core.model import Side
from wanesync.core.operating.tracing import NO_TRACING
from wanesync.core.ports import RequestEnd


def test_no_tracing_yields_no_context() -> None:
    with NO_TRACING.webhook(Side.STRIPE) as context, NO_TRACING.call(Side.STRIPE, "customers.list", [context]):
        NO_TRACING.note_request(RequestEnd(200, 1.0))
    assert (context, NO_TRACING.is_on) == ("", False)
