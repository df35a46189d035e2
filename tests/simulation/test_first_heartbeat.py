"""A worker whose database goes away before its first heartbeat waits for it."""

from __future__ import annotations

from unittest.mock import patch

from tests.simulation.test_regressions import stage
from wanesync.core.errors import DatabaseUnavailable
from wanesync.worker.lease import Lease


def test_a_worker_waits_for_a_database_that_goes_away_before_its_first_heartbeat() -> None:
    with stage() as play:
        (process,) = play.world.processes
        worker = process.worker
        worker.lease.ends_ms = 0
        begin, tries = Lease.begin, []

        def fail_once(lease: Lease) -> None:
            tries.append(lease)
            if len(tries) == 1:
                raise DatabaseUnavailable("the database is away")
            begin(lease)

        with patch.object(Lease, "begin", fail_once), patch.object(worker.stopping, "wait"):
            worker._begin_lease()
        assert len(tries) == 2
        assert worker.lease.ends_ms > 0
