"""Seeds under database roles find a rule of rows that hides what a worker has to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast
from unittest.mock import patch

import pytest

from tests.simulation.play import play_seed
from tests.simulation.postgres_roles import LANES, under_roles
from tests.simulation.postgres_store import SETTINGS
from wanesync.bench.postgres_cluster import temporary_cluster
from wanesync.store.roles.matrix import MATRIX, Role, Rows, Rule, Verb

SEED = 140_000_029
"""In it Stripe's lane settles a creation on HubSpot whose answer was lost."""


@pytest.mark.parametrize("hides", [False, True])
def test_a_change_that_a_rule_hides_is_found(hides: bool) -> None:
    rows = MATRIX["pending_writes"]
    access = rows[Role.STRIPE_WORKER]
    narrow: Mapping[Role, object] = {
        **rows,
        Role.STRIPE_WORKER: {**access, Verb.UPDATE: Rule(access[Verb.UPDATE].columns, "side = 'stripe'")},
    }
    changed = {"pending_writes": cast("Rows", narrow)} if hides else {}
    with (
        patch.dict(cast("dict[str, Rows]", MATRIX), changed),
        temporary_cluster(SETTINGS) as cluster,
        under_roles(cluster.url) as parts,
    ):
        violations = play_seed(SEED, None, also=LANES).violations
    assert parts.statements > 50
    assert violations[:1] == (["record_result changed 0 of 1 rows as stripe_worker"] if hides else [])
