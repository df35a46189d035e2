"""What no webhook reported is kept until it is measured again."""

from __future__ import annotations

from wanesync.core.model import Side
from wanesync.reconcile.missed_count import MissedCount, read_missed, store_missed
from wanesync.store import Store


def test_the_newest_count_of_each_side_stands(store: Store) -> None:
    with store.reading() as tx:
        assert read_missed(tx, Side.STRIPE) is None
    store.run(lambda tx: store_missed(tx, Side.STRIPE, 3, ["phone", "city", "name", "street", "zip", "a"]))
    with store.reading() as tx:
        found = read_missed(tx, Side.STRIPE)
        assert read_missed(tx, Side.HUBSPOT) is None
    assert isinstance(found, MissedCount)
    assert (found.records, found.names) == (3, ["a", "city", "name", "phone", "street"])
    store.run(lambda tx: store_missed(tx, Side.STRIPE, 0))
    with store.reading() as tx:
        found = read_missed(tx, Side.STRIPE)
    assert found is not None
    assert (found.records, found.names) == (0, [])
