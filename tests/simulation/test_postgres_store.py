"""Seeds on a Postgres whose transactions interleave find a store that does not look at what stands."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from tests.simulation.play import play_seed
from tests.simulation.postgres_store import SETTINGS, interleaved
from wanesync.bench.postgres_cluster import temporary_cluster
from wanesync.store import postgres
from wanesync.store.queries import Dialect, load_queries

SEEDS = (141_000_013, 141_000_056)
"""In them another process stores a copy between what a transaction reads and what it stores."""
LATE = "a copy replaced one that came after it was decided"


@pytest.mark.parametrize("compares", [True, False])
def test_a_copy_that_replaces_a_newer_one_is_found(compares: bool) -> None:
    queries = dict(load_queries(Dialect.POSTGRES))
    put = queries["put_record"]
    before, _, after = put.text.partition("WHERE ")
    if not compares:
        queries["put_record"] = replace(put, text=f"{before} RETURNING{after.partition('RETURNING')[2]}")
    with (
        temporary_cluster(SETTINGS) as cluster,
        patch.object(postgres, "load_queries", lambda _: queries),
        interleaved(cluster.url) as interleaving,
    ):
        found = {violation for seed in SEEDS for violation in play_seed(seed).violations}
        assert found == (set() if compares else {LATE})
        assert interleaving.late > 0
