"""Builders of small records, links and plan contexts for the tests of the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st

from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.merge import DifferPolicy, MergeResult, Pair, merge
from wanesync.core.model import BasePair, Link, Record, Side, StoredRecord, normalise_email
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.plan import Action, Plan, PlanContext, Rules
from wanesync.core.planner import plan

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
FIELDS = FieldMap(DEFAULT_FIELDS)
RULES = Rules(FIELDS)

# The same examples on every run: the suite is a measure, not a lottery.
STEADY = settings(derandomize=True, max_examples=200, deadline=None, database=None)
BRIEF = settings(STEADY, max_examples=100)


def full_name(first: str, last: str) -> str:
    """A name as HubSpot's two properties hold it."""
    return f"{first}{NAME_PARTS}{last}"


def one_field(**options: object) -> FieldMap:
    """A field map of the single field ``city``."""
    return FieldMap((replace(FieldSpec("city", ("city",), ("address.city",)), **options),))  # type: ignore[arg-type] # a test names the fields it changes


def contact(record_id: str = "1", other_id: str = "", **values: str) -> Record:
    """A contact; its address is the value of ``email``."""
    return _record(HUBSPOT, record_id, other_id, values)


def customer(record_id: str = "cus_1", other_id: str = "", **values: str) -> Record:
    """A customer; its address is the value of ``email``."""
    return _record(STRIPE, record_id, other_id, values)


def _record(side: Side, record_id: str, other_id: str, values: Mapping[str, str]) -> Record:
    address = normalise_email(values.get("email", ""))
    return Record(side, record_id, values, frozenset({address} - {""}), other_id)


def stored(record: Record, **facts: object) -> StoredRecord:
    """Our copy of a record; an address stands for its own hash."""
    return replace(StoredRecord(record, 0, 0, 1, hmacs=record.emails), **facts)  # type: ignore[arg-type] # a test names the fields it changes


def link(
    contact_id: str = "1", customer_id: str = "cus_1", base: Mapping[str, BasePair] | None = None, **facts: object
) -> Link:
    """An active primary link."""
    made = Link(f"link-{contact_id}-{customer_id}", contact_id, customer_id, True, base or {}, 1)
    return replace(made, **facts)  # type: ignore[arg-type] # a test names the fields it changes


def meet(
    here: str, there: str, base: BasePair | None, fields: FieldMap | None = None, differ: DifferPolicy = "keep"
) -> MergeResult:
    """Merge a contact's city with a customer's."""
    known = {} if base is None else {"city": base}
    return merge(Pair(contact(city=here), customer(city=there), known), fields or one_field(), differ)


def written(merged: MergeResult, side: Side) -> dict[str, str]:
    """Field -> the value a merge would write to a side."""
    return {name: change.after for name, change in merged.writes[side].items()}


def carry_out(pair: Pair, merged: MergeResult) -> Pair:
    """The pair and its base after every planned write succeeded and was stored."""
    base = {**pair.base, **merged.base}
    values = {HUBSPOT: dict(pair.contact.values), STRIPE: dict(pair.customer.values)}
    for side in Side:
        for name, change in merged.writes[side].items():
            values[side][name] = change.after
            if not change.put_back:
                base[name] = (change.after, change.source) if side is HUBSPOT else (change.source, change.after)
    return replace(
        pair,
        contact=replace(pair.contact, values=values[HUBSPOT]),
        customer=replace(pair.customer, values=values[STRIPE]),
        base=base,
        late=(),
        put_back={name: back for name, back in pair.put_back.items() if name not in merged.settled_put_backs},
    )


def only_action(plan: Plan) -> Action:
    """The one action of a plan."""
    (action,) = plan.actions.values()
    return action


def raw_text(max_size: int = 40) -> st.SearchStrategy[str]:
    """Text as people and programs enter it: blanks, marks, many scripts."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)


def written_by(action: Action, *, blanks: bool = True) -> dict[str, str]:
    """Field -> the value an action would write."""
    return {name: change.after for name, change in action.changes.items() if change.after or blanks}


def context(key: str, *records: Record | StoredRecord, links: Iterable[Link] = (), **facts: object) -> PlanContext:
    """A plan context of stored records; a bare record counts as just read."""
    copies = [r if isinstance(r, StoredRecord) else stored(r) for r in records]
    made = PlanContext(key, {(s.side, s.id): s for s in copies}, list(links))
    return replace(made, **facts)  # type: ignore[arg-type] # a test names the fields it changes


def run(at: PlanContext, rules: Rules = RULES) -> Plan:
    """The plan of a context."""
    return plan(at, rules, "new")
