"""On a terminal of 80 columns no line is longer and no word is broken, whatever a list holds."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterator

import pytest

from tests.support.core_builders import contact, customer, link
from tests.support.installation import Installation
from tests.support.run_main import TERMINAL_CODES, run_main
from wanesync.core.change_guard import HeldValue, HoldKind
from wanesync.core.ids import make_id
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Conflict, Note, NoteCode, Side, StoredRecord
from wanesync.core.purchases import Purchase, PurchaseState
from wanesync.store import Store, Tx

CONTACT, CUSTOMER, PAYMENT = "123456789012", "cus_QkXy7LrmWbT3Zf", "pi_3PqRsTuVwXyZ0123AbCdEfGh"
EMAIL = "maximiliane.oberhauser@nordwind-logistik.example"
COMMANDS = [
    ("status",),
    ("jobs",),
    ("jobs", "--dead"),
    ("history",),
    ("history", EMAIL),
    ("history", EMAIL, "--show-values"),
    ("logs",),
    ("hold", "list"),
    ("hold", "list", "--show-values"),
    ("conflicts",),
    ("conflicts", "--show-values"),
    ("webhooks", "set-aside"),
    ("limits",),
    ("retry", "--all", "--dry-run"),
    ("db", "prune", "--dry-run"),
    ("writes",),
]


@pytest.fixture(scope="module", name="installation")
def make_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation at work: processes, queued and dead jobs, holds, conflicts, payments and a history."""
    made = Installation(tmp_path_factory.mktemp("wide"))
    made.store.run(lambda tx: fill(tx, made.store))
    yield made
    made.store.close()


def fill(tx: Tx, store: Store) -> None:
    hmacs = frozenset({store.hmac(EMAIL)})
    note = Note(NoteCode.AMBIGUOUS, "ambiguous: its ids and its e-mail match different records")
    for record in (
        contact(CONTACT, email=EMAIL, city="Garmisch"),
        customer(CUSTOMER, email=EMAIL, city="Partenkirchen"),
    ):
        tx.records.put_many([StoredRecord(record, 1, 1, 1, hmacs=hmacs, note=note)])
    made = link(CONTACT, CUSTOMER)
    tx.links.put(made)
    hold_id, _ = tx.holds.open("hubspot:CRM_UI/userId:12345678", HoldKind.BRAKE)
    tx.holds.put(made.id, "city", HeldValue(Side.STRIPE, "Partenkirchen", "Garmisch", hold_id))
    for field in ("city", "postal_code", "phone"):
        tx.conflicts.put(Conflict(Side.STRIPE, CUSTOMER, field, "Garmisch-Partenkirchen", "overwritten"), made.id)
    fields = {"city": ["Garmisch", "Partenkirchen"], "phone": ["+4988211234567", "+4988217654321"]}
    data = {"write": make_id(tx.now_ms, random.Random(2)), "source": CONTACT, "fields": fields}
    tx.journal.add("updated", Side.STRIPE, CUSTOMER, made.id, data)
    tx.journal.add("linked", Side.HUBSPOT, CONTACT, "", {"customer": CUSTOMER})
    tx.journal.add("unmatched", Side.HUBSPOT, PAYMENT, "", {"reason": "no contact has its address"})
    tx.rejected.put(Side.HUBSPOT, "no usable occurredAt", b'{"objectId": 1}')
    tx.pauses.set(
        "stripe:charges", "forbidden (403): the key lacks the permission charge_read", away=False, probe_at_ms=0
    )
    for number, lanes in enumerate(("hubspot stripe", "web")):
        tx.processes.beat(make_id(tx.now_ms, random.Random(number)), lanes, tx.now_ms)
    tx.purchases.put(Purchase(PAYMENT, "ch_3PqRsTuVwXyZ0123AbCdEfGh", CUSTOMER, EMAIL, "", 12_345, "eur", 1, "Rope"))
    tx.purchases.set_state(PAYMENT, PurchaseState.UNMATCHED, reason="no contact has its address")
    for kind, key in ((JobKind.READ, CUSTOMER), (JobKind.WRITE, f"contact:{CONTACT}"), (JobKind.READ, f"{CUSTOMER}9")):
        tx.jobs.put(JobRequest(Side.STRIPE, kind, key))
    (job,) = tx.jobs.claim(Side.STRIPE, [JobKind.READ], 1, "owner")
    tx.jobs.mark_dead(job, DeadClass.REFUSED, "parameter_invalid_integer (400): preferred_locales, metadata")


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in line)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_line_is_longer_and_no_word_is_broken(installation: Installation, arguments: tuple[str, ...]) -> None:
    where = ("--config", str(installation.file))
    # Ages grow between the two.
    narrow, wide = (
        TERMINAL_CODES.sub("", run_main([*arguments, *where], columns=columns).out) for columns in (80, 500)
    )
    assert [line for line in narrow.splitlines() if width(line.rstrip()) > 80] == []
    assert {_number_free(word) for word in narrow.split() if word.strip("─")} - set(
        map(_number_free, wide.split())
    ) == set()


def _number_free(word: str) -> str:
    return re.sub("[0-9]", "0", word) if len(word) < 4 else word
