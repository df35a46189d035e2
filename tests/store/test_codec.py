"""Payloads of rows."""

from __future__ import annotations

from dataclasses import replace

from tests.support.store_rows import a_create, a_link, a_stored, an_event
from wanesync.core.model import (
    BasePair,
    Change,
    Parked,
    ParkReason,
    PutBack,
    Side,
)
from wanesync.store import Store
from wanesync.store.codec import (
    JSON,
    pack,
    pack_base,
    pack_parked,
    pack_put_back,
    pack_record,
    pack_write,
    unpack_base,
    unpack_object,
    unpack_parked,
    unpack_put_back,
    unpack_record,
    unpack_write,
)

H, S = Side.HUBSPOT, Side.STRIPE


def test_payloads_are_not_readable_in_the_database(store: Store) -> None:
    with store.transaction() as tx:
        tx.records.put_many([a_stored(H, "secret-person", "h")])
        tx.links.put(a_link("l", "1", "a"))
        tx.events.put_many([an_event("k")])
        for row in tx._session.rows("records_of_side", side=H, ids=["secret-person"]):
            assert b"example.com" not in row[1]
        event = tx._session.row("get_event", key="k")
        assert event
        assert b"example.com" not in event[8]


def test_a_record_comes_back_with_the_side_and_id_of_its_row() -> None:
    record = a_stored(S, "cus_1").record
    assert unpack_record(pack_record(record), S, "cus_1") == record
    assert b"cus_1@" in pack_record(record)
    assert b'"cus_1"' not in pack_record(record)


def test_a_base_comes_back_as_pairs() -> None:
    base: dict[str, BasePair] = {"city": ("Ulm", "ULM"), "name": ("Zoë\x1fÖz", "")}
    assert unpack_base(pack_base(base)) == base


def test_parked_fields_come_back_with_their_sides() -> None:
    parked = {"email": Parked(H, "x@example.com"), "city": Parked(S, "", ParkReason.READ_ONLY)}
    assert unpack_parked(pack_parked(parked)) == parked


def test_a_pending_write_comes_back_with_and_without_an_authorship() -> None:
    write = a_create("w1", "h2", "h1")
    assert unpack_write(pack_write(write, 3)) == (write.body, write.changes, frozenset({"h1", "h2"}), {}, 3, 0, {})
    known = replace(write, authorship={"city": (5, True)})
    assert unpack_write(pack_write(known)).authorship == {"city": (5, True)}
    restoring = replace(write, changes={"city": Change("a", "b", "c", put_back=True)}, planned_ms=7)
    payload = unpack_write(pack_write(restoring))
    assert (payload.changes, payload.planned_ms) == (restoring.changes, 7)


def test_values_to_be_put_back_come_back() -> None:
    values = {"city": PutBack(S, "Ulm", ("Bonn", "BONN"), True), "street": PutBack(S, "", ("", "x"), False)}
    assert unpack_put_back(pack_put_back(values)) == values


def test_any_json_object_comes_back() -> None:
    data: dict[str, JSON] = {"number": 1, "list": ["ü", None], "inner": {"is": True}}
    assert unpack_object(pack(data)) == data
