"""The burst with what may happen to it, small: whatever is delivered twice or killed, the same final state."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.test_bench import number, run_bench
from wanesync.bench.burst.load import Arrivals, Load
from wanesync.bench.burst.results import count_wrong
from wanesync.bench.burst.run import Failures, measure
from wanesync.bench.environment import Limits, build_sandbox, run_everything
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.sandbox.server import Sandbox

LOAD = ("--contacts", "40", "--seconds", "2", "--purchases", "6", "--customers", "4", "--latency-ms", "5-20")
RIGHT = {"left": 0, "lost": 0, "doubled": 0, "extra_creations": 0, "extra_records": 0, "at_rest": True}


@pytest.mark.parametrize(
    "mishap",
    [
        ("--deliveries", "3", "--kill-worker", "--workers", "2"),
        ("--database", "postgres", "--kill-database", "--kill-worker", "--workers", "2"),
    ],
)
def test_a_small_burst_ends_the_same_whatever_happens(tmp_path: Path, mishap: tuple[str, ...]) -> None:
    figures = run_bench(tmp_path, "burst", *LOAD, *mishap)
    assert {name: figures[name] for name in RIGHT} == RIGHT
    assert figures["workers"] == 2
    assert number(figures, "worker_cpu_ms_per_contact") > 0


def test_only_a_postgres_of_its_own_is_killed() -> None:
    with pytest.raises(ConfigError, match="--database postgres"):
        measure(Load(), Limits(), 1, "postgresql://somewhere/else", Failures(kill_database=True))


def test_as_many_workers_run_as_are_asked_for(postgres_url: str) -> None:
    with run_everything(build_sandbox(Limits()), postgres_url, Limits(), 3) as running:
        assert len({worker.pid for worker in running.workers}) == 3
        running.check()
        assert all(worker.cpu_s() > 0 for worker in running.workers)


class Final:
    """A burst that is over, made by hand: one contact, one customer, one purchase, and what we made of them."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()
        self.arrivals = Arrivals(self.sandbox, Load(1, 1, 1, 1))
        contact = self.edit(Side.HUBSPOT, email="contact@example.com", city="Lyon")
        self.twin = self.edit(Side.STRIPE, email="contact@example.com", **{"address.city": "Lyon"})
        self.arrivals.contacts[contact] = {"address.city": "Lyon"}
        self.edit(Side.STRIPE, email="customer@example.com")
        self.edit(Side.HUBSPOT, email="customer@example.com")
        self.arrivals.addresses.append("customer@example.com")
        self.add_event("ch_1")
        self.arrivals.charges.append("ch_1")

    def edit(self, side: Side, record_id: str | None = None, **values: str) -> str:
        return self.sandbox.edit(side, "update" if record_id else "create", record_id, values)

    def add_event(self, charge: str) -> None:
        self.sandbox.hubspot.journal.add(0, "event.sent", "1", "api:test", {"charge_id": charge})


def test_the_verdict_on_what_is_right() -> None:
    assert count_wrong(Final().arrivals) == {"lost": 0, "doubled": 0, "extra_creations": 0}


def test_the_verdict_counts_a_value_that_was_undone() -> None:
    final = Final()
    final.edit(Side.STRIPE, final.twin, **{"address.city": "Nice"})
    assert count_wrong(final.arrivals)["lost"] == 1


def test_the_verdict_counts_purchases_and_people_that_never_arrived() -> None:
    final = Final()
    final.arrivals.charges.append("ch_2")
    final.arrivals.addresses.append("nobody@example.com")
    assert count_wrong(final.arrivals)["lost"] == 2


def test_the_verdict_counts_whoever_is_there_twice() -> None:
    final = Final()
    final.edit(Side.STRIPE, email="Contact@example.com")
    final.add_event("ch_1")
    assert count_wrong(final.arrivals)["doubled"] == 2


def test_the_verdict_counts_creations_beyond_one_each() -> None:
    final = Final()
    for twin in ("cus_1", "cus_2", "cus_3"):
        final.sandbox.stripe.journal.add(0, "customer.created", twin, "api:test", {})
    assert count_wrong(final.arrivals)["extra_creations"] == 2
