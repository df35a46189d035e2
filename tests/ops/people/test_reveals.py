"""A reveal is noted before values are shown: who, of whom, and no value."""

from __future__ import annotations

from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.people.reveals import note_reveal
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter


def test_a_reveal_is_a_row_of_the_audit_log(store: Store) -> None:
    note_reveal(store, Operator("anna", Via.PAGE), "cus_1", "person")
    with store.reading() as tx:
        (row,) = tx.audit.find(AuditFilter(action="values.reveal"), 10)
    assert (row.operator, row.subject, row.after) == (Operator("anna", Via.PAGE), "cus_1", {"of": "person"})
