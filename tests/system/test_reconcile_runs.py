"""A run that is started by API goes on when the admin service is killed, and its plan is applied by a command."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx2

from tests.support.admin_stage import AdminStage
from wanesync.core.model import Side
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.core.operating.reconcile_runs import Run, RunState
from wanesync.ops.access.tokens import create_token
from wanesync.ops.reconcile.runs import read_run
from wanesync.store import Store

DEADLINE_S = 60.0


def wait_for(store: Store, run_id: str, state: RunState) -> Run:
    """Wait until a run is in a state, and return it; a run that fails ends the wait."""
    ends_s = time.monotonic() + DEADLINE_S
    run = read_run(store, run_id)
    while time.monotonic() < ends_s:
        if run.state is state:
            return run
        assert not run.facts.problem, run.facts.problem
        time.sleep(0.1)
        run = read_run(store, run_id)
    raise AssertionError(f"the run is {run.state} after {DEADLINE_S:g} s")


def test_a_run_outlives_the_service_and_is_applied_by_a_command(tmp_path: Path) -> None:
    with AdminStage(tmp_path) as stage:
        for number in range(5):
            stage.edit(Side.HUBSPOT, "create", email=f"p{number}@example.com", firstname="Ada", city="Ulm")
        admin = stage.start("admin")
        stage.url = next(word for word in admin.first_line().split() if word.startswith("http"))
        _, token = create_token(stage.store, SYSTEM, "ci", OperatorRole.OPERATOR, 1)
        with httpx2.Client(base_url=stage.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as caller:
            answer = caller.post("/api/v1/reconciles", json={"limit": 4})
        assert answer.status_code == 201, answer.text
        run_id = answer.json()["id"]
        wait_for(stage.store, run_id, RunState.COMPARING)
        admin.kill()
        run = wait_for(stage.store, run_id, RunState.PLANNED)
        assert run.facts.counts["create_customer"] == 5
        with stage.store.reading() as tx:
            assert tx.jobs.depth() == [], "nothing is queued"
        shown = stage.ask("runs", "show", run_id, "--only", "create_customer")
        assert len(json.loads(json.dumps(shown["differences"]))) == 4
        assert stage.run("runs", "approve", run_id).returncode == 0
        done = stage.ask("runs", "apply", run_id)
        assert json.loads(json.dumps(done["run"]))["result"]["jobs"] == 4
        with stage.store.reading() as tx:
            assert tx.jobs.run_pending(read_run(stage.store, run_id).facts.job_run) == 4
