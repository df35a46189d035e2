"""What must be true at rest, told from the stand-ins' own records and journals rather than from our database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.support.stage import Row, Stage
from tests.support.store_reads import every_conflict
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Side, normalise_email
from wanesync.demo.checks import SandboxHistory, check_history
from wanesync.sandbox.journal import Entry

# The property of a contact, the attribute of a customer: what is copied as it is.
SAME = {
    "company": "business_name",
    "address": "address.line1",
    "city": "address.city",
    "state": "address.state",
    "zip": "address.postal_code",
}
# What each side writes in its own way: compared as the field map does.
IN_FORMS = {
    "name": (("firstname", "lastname"), "name"),
    "phone": (("phone",), "phone"),
    "country": (("country",), "address.country"),
    "language": (("hs_language",), "preferred_locales"),
}
FIELDS = FieldMap(DEFAULT_FIELDS).by_name
EDITED = SAME | {"phone": "phone"}
SHOWN = 10
SAME_MOMENT_MS = 1_500
UNSURE_MS = 10_000
"""If whoever wrote died before its commit, the next one cannot tell an edit made on top of it from one that crossed."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A value a person set."""

    at_ms: int
    side: Side
    value: str


def find_faults(stage: Stage) -> list[str]:
    """Everything that is wrong, in words with ids only; empty when nothing is."""
    journals = {side: _journal(stage, side) for side in Side}
    rows = {side: stage.sandbox.records(side) for side in Side}
    pairs = _pair(rows)
    faults = [*_find_single(rows), *_find_twins(rows, journals)]
    lives = {side: _by_record(journal) for side, journal in journals.items()}
    for contact, customer in pairs:
        faults += _compare(contact, customer, _is_filled_in(lives[Side.STRIPE].get(customer["id"], [])))
    for contact, customer in pairs:
        for name, attribute in EDITED.items():
            life = {
                Side.HUBSPOT: (contact, name, lives[Side.HUBSPOT].get(contact["id"], [])),
                Side.STRIPE: (customer, attribute, lives[Side.STRIPE].get(customer["id"], [])),
            }
            faults += _judge_edits(stage, life)
    return [*faults, *_find_unfinished(stage)]


def count(stage: Stage) -> dict[str, int]:
    """How much happened so far: people, edits and purchases by users, conflicts kept."""
    journals = [*_journal(stage, Side.HUBSPOT), *_journal(stage, Side.STRIPE)]
    by_users = [entry for entry in journals if entry.source == "user"]
    with stage.store.reading() as tx:
        conflicts = tx.conflicts.count_open()
    return {
        "people": len(stage.sandbox.records(Side.HUBSPOT)),
        "creations": sum(entry.kind.endswith(".created") for entry in by_users),
        "edits": sum(entry.kind.endswith(".updated") for entry in by_users),
        "purchases": sum(entry.kind == "charge.succeeded" for entry in journals),
        "writes": sum(entry.source.startswith("api:") for entry in journals),
        "conflicts": conflicts,
    }


def _journal(stage: Stage, side: Side) -> list[Entry]:
    with stage.sandbox.lock:
        return stage.sandbox.machines[side].journal.after(0)


def _by_record(journal: Sequence[Entry]) -> dict[str, list[Entry]]:
    lives: dict[str, list[Entry]] = {}
    for entry in journal:
        lives.setdefault(entry.record_id, []).append(entry)
    return lives


def _address(row: Row) -> str:
    return normalise_email(row.get("email", ""))


def _pair(rows: Mapping[Side, Sequence[Row]]) -> list[tuple[Row, Row]]:
    customers = {_address(row): row for row in rows[Side.STRIPE]}
    return [(row, customers[_address(row)]) for row in rows[Side.HUBSPOT] if _address(row) in customers]


def _find_single(rows: Mapping[Side, Sequence[Row]]) -> Iterator[str]:
    """People who stand on one side only: lost."""
    there = {side: {_address(row) for row in rows[side]} for side in Side}
    for side in Side:
        alone = [row["id"] for row in rows[side] if _address(row) not in there[side.other]]
        if alone:
            yield f"lost: {len(alone)} on {side} only, such as {alone[:SHOWN]}"


def _find_twins(rows: Mapping[Side, Sequence[Row]], journals: Mapping[Side, Sequence[Entry]]) -> Iterator[str]:
    """People who stand there twice, purchases that are not on their buyer's contact exactly once."""
    entries = {side: [asdict(entry) for entry in journal] for side, journal in journals.items()}
    books = SandboxHistory(entries[Side.HUBSPOT], entries[Side.STRIPE], rows[Side.HUBSPOT], rows[Side.STRIPE], [])
    proof = check_history(books, 0)
    yield from (f"doubled: {sentence}" for sentence in proof.duplicates[:SHOWN])
    yield from (f"purchase: {sentence}" for sentence in proof.purchase_faults[:SHOWN])


def _is_filled_in(entries: Sequence[Entry]) -> bool:
    """Whether a customer's name is its business's of then, as Stripe fills it in; it does not follow the company."""
    business, filled_in = "", False
    for entry in entries:
        business = entry.changes.get("business_name", business)
        if "name" in entry.changes:
            filled_in = entry.source == "stripe" or entry.changes["name"] == business != ""
    return filled_in


def _compare(contact: Row, customer: Row, is_filled_in: bool) -> Iterator[str]:
    where = f"contact {contact['id']} and customer {customer['id']}"
    for name, attribute in SAME.items():
        if contact.get(name, "") != customer.get(attribute, ""):
            yield f"not equal: {name} of {where}"
    for name, (properties, attribute) in IN_FORMS.items():
        spec = FIELDS[name]
        here = spec.form.read_hubspot([contact.get(each, "") for each in properties])
        there = spec.form.read_stripe(customer.get(attribute, ""))
        # What a side could hold only cut or guessed is left alone; the name of a business is the contact's company.
        fits = (
            spec.convert(Side.HUBSPOT, there, here) is not None and spec.convert(Side.STRIPE, here, there) is not None
        )
        is_company = name == "name" and not here and (is_filled_in or contact.get("company", "") == there)
        if fits and not is_company and not spec.agree(here, there):
            yield f"not equal: {name} of {where}"


def _judge_edits(stage: Stage, life: Mapping[Side, tuple[Row, str, Sequence[Entry]]]) -> Iterator[str]:
    """The last edit of a field stands; of two that did not know of each other one does, and the other is kept."""
    edits = sorted(
        (edit for side, (_, name, entries) in life.items() for edit in _edits(side, name, entries)),
        key=lambda edit: edit.at_ms,
    )
    if not edits:
        return
    last = edits[-1]
    row, name, entries = life[last.side]
    final = row.get(name, "")
    rival = next((edit for edit in reversed(edits) if edit.side is not last.side and edit.value != last.value), None)
    what = f"{name} of {last.side} {row['id']}"
    arrived_ms = _arrival_ms(rival, name, entries) if rival else None
    if final == last.value:
        if rival and (arrived_ms is None or arrived_ms > last.at_ms) and not _kept(stage, life, rival):
            yield f"lost: {what}: an edit on {rival.side} that crossed a later one is not among the conflicts"
    elif rival and final == rival.value and (arrived_ms is None or arrived_ms > last.at_ms - UNSURE_MS):
        if not _kept(stage, life, last):
            yield f"lost: {what}: the last edit was overwritten and is not among the conflicts"
    elif rival and _met_our_write(last, name, entries, final) and final in {edit.value for edit in edits}:
        if not _kept(stage, life, last):
            yield f"lost: {what}: the last edit met a write of ours and is not among the conflicts"
    elif not (_rode_along(last, name, entries) and _kept(stage, life, last)):
        yield f"lost: {what}: the last edit, which nobody contested"


def _met_our_write(edit: Edit, name: str, entries: Sequence[Entry], final: str) -> bool:
    """We were settling an older dispute at that moment: nothing in either API could have kept the two apart."""
    return any(
        entry.source != "user"
        and edit.at_ms <= entry.at_ms <= edit.at_ms + SAME_MOMENT_MS
        and entry.changes.get(name) == final
        for entry in entries
    )


def _arrival_ms(edit: Edit, name: str, entries: Sequence[Entry]) -> int | None:
    """When an edit first came to the other side, whose field ``name`` and ``entries`` these are; None: it never did."""
    times = (
        entry.at_ms
        for entry in entries
        if entry.source != "user" and entry.at_ms >= edit.at_ms and entry.changes.get(name) == edit.value
    )
    return min(times, default=None)


def _rode_along(edit: Edit, name: str, entries: Sequence[Entry]) -> bool:
    """Stripe takes an address whole: a write of another part, made before the edit was seen, carried the old one."""
    part_of_address = edit.side is Side.STRIPE and name.startswith("address.")
    return part_of_address and any(
        entry.source != "user" and entry.at_ms >= edit.at_ms and name in entry.changes and len(entry.changes) > 1
        for entry in entries
    )


def _edits(side: Side, name: str, entries: Sequence[Entry]) -> Iterator[Edit]:
    """What people set, after whatever came with the record. A first part of an address names the others as blank."""
    for entry in entries:
        if entry.source == "user" and entry.kind.endswith(".updated") and entry.changes.get(name):
            yield Edit(entry.at_ms, side, entry.changes[name])


def _kept(stage: Stage, life: Mapping[Side, tuple[Row, str, Sequence[Entry]]], loser: Edit) -> bool:
    with stage.store.reading() as tx:
        kept = every_conflict(tx)
    ids = {(side, row["id"]) for side, (row, _, _) in life.items()}
    return any(found.value == loser.value and (found.side, found.record_id) in ids for found in kept)


def _find_unfinished(stage: Stage) -> Iterator[str]:
    """What our own database must not hold at rest."""
    report = stage.compare()
    if report.actionable or report.to_link:
        yield f"diff: {report.actionable} actionable, {report.to_link} to link: {list(report.differences(limit=SHOWN))}"
    with stage.store.reading() as tx:
        open_writes, dead = tx.pending_writes.count_open(), tx.dead_letters.latest()
        running = [row for row in tx.jobs.depth() if row["running"]]
    if open_writes:
        yield f"{open_writes} open intents"
    if dead:
        yield f"{len(dead)} dead letters, such as {[(j.kind, j.key, j.dead_class, j.reason) for j in dead[:SHOWN]]}"
    if running:
        yield f"jobs are leased: {running}"
