"""A side that is away when a program starts: webhooks are taken meanwhile, and the work goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.accounts import PORTAL
from wanesync.core.errors import CallError, Failure, VendorUnavailable, WanesyncError, WrongAccount
from wanesync.core.model import Side
from wanesync.core.ports import CreateItem
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stand_in import Request, Response
from wanesync.wiring import build_runtime

AWAY = Faults(error_503=1.0)


@pytest.fixture(name="stage")
def open_stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(f"sqlite:{tmp_path / 'wanesync.db'}", tmp_path) as made:
        yield made


def refuse_key(stage: Stage, side: Side) -> None:
    def refuse(request: Request, now_ms: int) -> Response:
        return Response(401, {"Content-Type": "application/json"}, b"{}")

    stage.sandbox.machines[side].handle = refuse  # type: ignore[method-assign] # the fault


def test_who_may_not_wait_is_told(stage: Stage) -> None:
    stage.sandbox.machines[Side.STRIPE].set_faults(AWAY)
    with pytest.raises(VendorUnavailable, match="stripe cannot be reached"):
        build_runtime(stage.config, stage.store, tuple(Side))
    stage.store.run(lambda tx: tx.settings.put(PORTAL, ""))
    stage.sandbox.machines[Side.STRIPE].set_faults(Faults())
    refuse_key(stage, Side.HUBSPOT)
    with pytest.raises(WanesyncError, match="does not accept the key"):
        # Nobody knows yet whose state it is.
        build_runtime(stage.config, stage.store, tuple(Side), patient=True)


def test_its_account_is_asked_for_before_anything_is_sent(stage: Stage) -> None:
    contact_id = stage.edit(Side.HUBSPOT, "create", email="ana@example.com")
    for machine in stage.sandbox.machines.values():
        machine.set_faults(AWAY)
    runtime = build_runtime(stage.config, stage.store, tuple(Side), patient=True)
    with pytest.raises(CallError) as caught:
        runtime.hubspot.read_contacts([contact_id])
    assert caught.value.failure is Failure.UNREACHED
    with pytest.raises(CallError) as caught:
        runtime.stripe.create_customer('{"email": "ana@example.com"}', "key-1")
    assert caught.value.failure is Failure.UNREACHED, "it never left, so nothing is to be settled"
    assert stage.sandbox.records(Side.STRIPE) == []


def test_nothing_is_written_into_another_account(stage: Stage) -> None:
    stage.sandbox.machines[Side.HUBSPOT].set_faults(AWAY)
    stage.store.run(lambda tx: tx.settings.put(PORTAL, "7"))
    runtime = build_runtime(stage.config, stage.store, tuple(Side), patient=True)
    stage.sandbox.machines[Side.HUBSPOT].set_faults(Faults())
    with pytest.raises(CallError, match="belongs to HubSpot portal 7") as caught:
        runtime.hubspot.create_contacts([CreateItem("t1", {"email": "ana@example.com"})])
    assert caught.value.failure is Failure.UNAUTHORISED, "the side is paused, and says why"
    assert stage.sandbox.records(Side.HUBSPOT) == []
    with pytest.raises(WrongAccount):
        build_runtime(stage.config, stage.store, tuple(Side), patient=True)


def test_up_takes_webhooks_and_goes_on_when_the_sides_are_back(stage: Stage) -> None:
    stage.reconcile()
    for machine in stage.sandbox.machines.values():
        machine.set_faults(AWAY)
    program = stage.start("up")
    stage.serve(program)
    stage.edit(Side.HUBSPOT, "create", email="ana@example.com", firstname="Ana")

    def is_stopped() -> bool:
        with stage.store.reading() as tx:
            return bool(tx.jobs.depth()) and Side.HUBSPOT in tx.pauses.get_all()

    stage.until(is_stopped, "the webhook is stored, and HubSpot is away")
    alarms = stage.ask("status", "--check", code=1)["alarms"]
    assert isinstance(alarms, list)
    assert [alarm.partition(":")[0] for alarm in alarms] == ["hubspot is unreachable"]
    for machine in stage.sandbox.machines.values():
        machine.set_faults(Faults())
    stage.until(lambda: stage.customer("ana@example.com"), "the work goes on by itself")
    assert program.stop() == 0
