"""What is packed is unpacked the same."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import contact, customer
from wanesync.core.diff.difference import Difference, DifferenceClass, FieldDifference
from wanesync.core.diff.value_kinds import ValueKind
from wanesync.reconcile.snapshot.codec import (
    CHANGED_MEANWHILE,
    ChangedRecord,
    pack_changed,
    pack_difference,
    unpack_changed,
    unpack_difference,
)


def test_a_changed_record_survives_packing() -> None:
    for record in (contact("7", email="ana@example.com", city="Lyon\n7"), customer("cus_7", other_id="7")):
        for revision in (0, 5, CHANGED_MEANWHILE):
            changed = ChangedRecord(record, revision, 1_700_000_000_000, 1_700_000_000_999)
            assert unpack_changed(pack_changed(changed), record.side, record.id) == changed


def test_a_difference_survives_packing_with_its_key() -> None:
    fields = {"city": FieldDifference("Lyon", "LYON", "stripe", "changed", "Lyon", ValueKind.CASE)}
    difference = Difference(DifferenceClass.UPDATE_CUSTOMER, "7", "cus_7", fields, "a note", "contact:7")
    unpacked = unpack_difference(pack_difference(difference))
    assert (unpacked, unpacked.key) == (difference, "contact:7")
    empty = replace(difference, fields={}, stripe_id="", note="")
    assert unpack_difference(pack_difference(empty)) == empty
