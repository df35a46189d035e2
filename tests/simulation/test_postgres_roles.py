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

SEED = 140_000_007


@pytest.mark.parametrize("hides", [False, True])
def test_a_change_that_a_rule_hides_is_found(hides: bool) -> None:
    rows = MATRIX["pending_writes"]
    access = rows[Role.HUBSPOT_WORKER]
    wrong: Mapping[Role, object] = {
        **rows,
        Role.HUBSPOT_WORKER: {**access, Verb.UPDATE: Rule(access[Verb.UPDATE].columns, "side = 'stripe'")},
    }
    changed = {"pending_writes": cast("Rows", wrong)} if hides else {}
    with (
        patch.dict(cast("dict[str, Rows]", MATRIX), changed),
        temporary_cluster(SETTINGS) as cluster,
        under_roles(cluster.url) as parts,
    ):
        violations = play_seed(SEED, None, also=LANES).violations
    assert parts.statements > 50
    hidden = [text for text in violations if "changed 0 of" in text and text.endswith("as hubspot_worker")]
    assert bool(hidden) is hides
    assert hides or not violations
