"""Alerts under the database role of each process: all evaluate, deliver and report, and only operators silence."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.support.alert_messengers import BOOK, FakeMessenger, deliverer
from tests.support.alert_situations import CERTIFICATE, PLANTED, POLICY, Watch, plant
from tests.support.database_roles import made_roles
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.operating.alarms import AlarmCode
from wanesync.ops.alerts.changes import SilenceRequest, silence
from wanesync.ops.alerts.evaluator import Evaluator
from wanesync.ops.alerts.situation import SituationReader
from wanesync.store import make_key, open_store
from wanesync.store.roles.matrix import Role
from wanesync.store.session import PrivilegeDenied

KEYS = [make_key("k001")]
EVALUATE = (Role.INTAKE, Role.QUEUE, Role.HUBSPOT_WORKER, Role.STRIPE_WORKER, Role.ADMIN)


def test_every_role_of_a_process_evaluates_and_delivers(postgres_url: str) -> None:
    with closing(open_store(postgres_url, KEYS, migrate=True)) as owner:
        watch = Watch(Clock(), [owner], POLICY, BOOK)
        for planted in PLANTED:
            plant(watch, planted)
        with made_roles(postgres_url) as logins:
            told: set[str] = set()
            for role in EVALUATE:
                with closing(open_store(logins.address(role), KEYS)) as store:
                    reader = SituationReader(store, POLICY)
                    done = Evaluator(store, str(role), POLICY, lambda: BOOK, reader).run_round()
                    assert done is not None, role
                    told |= {notice.code for notice in done.notices}
                    assert not any(notice.kind == "recovered" for notice in done.notices)
                    store.run(lambda tx: tx.alerts.report("p", [CERTIFICATE]))
                    deliverer(store, FakeMessenger(), str(role)).run_round()
                    store.run(lambda tx, r=role: tx.alerts.release_claim(str(r)))  # type: ignore[misc] # binds role
                    if role is Role.ADMIN:
                        silence(store, SilenceRequest("disk_full", "", 60_000), ADA)
                    else:
                        with pytest.raises(PrivilegeDenied):
                            silence(store, SilenceRequest("disk_full", "", 60_000), ADA)
            assert AlarmCode.FIELD_REFUSED in told, "a worker sees it"
            assert owner.read(lambda tx: tx.alert_deliveries.count_waiting()) == 0
