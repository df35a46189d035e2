"""Reveals: values of a person shown in plain to an operator, each time with a row in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wanesync.core.operating.operators import Operator
    from wanesync.store.database import Store


def note_reveal(store: Store, operator: Operator, subject: str, what: str) -> None:
    """Note that an operator is shown values in plain, before they are. ``subject``: an id; ``what``: of what kind."""
    store.run(lambda tx: tx.audit.add(operator, "values.reveal", subject, None, {"of": what}))
