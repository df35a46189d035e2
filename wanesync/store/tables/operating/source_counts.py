"""How many records each source changed lately, counted by all doors (docs/correctness.md#bulk-guards)."""

from __future__ import annotations

from collections.abc import Mapping

from wanesync.store.session import Table


class SourceCounts(Table):
    """The table ``source_counts``: rows that are only added, so that no two doors wait for each other.

    A source is stored as a keyed hash: it may name a person.
    """

    __slots__ = ()

    def add(self, records: Mapping[str, int], since_ms: int) -> dict[str, int]:
        """Add records to the count of each source; return how many each has changed since a time."""
        if not records:
            return {}
        now_ms = self._session.now_ms
        hashes = {self._session.encryption.row_hash(source): source for source in records}
        self._session.each(
            "add_source_count",
            [
                {"id": self._session.make_id(), "source": one, "at_ms": now_ms, "records": records[source]}
                for one, source in sorted(hashes.items())
            ],
        )
        rows = self._session.rows("sum_source_counts", sources=sorted(hashes), since_ms=since_ms)
        return {hashes[one]: int(total) for one, total in rows}
