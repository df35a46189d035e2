"""Checks of a decision against the stored records, before anything is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from wanesync.core.diff.decisions import Decision, Verdict
from wanesync.core.diff.difference import compare_key
from wanesync.core.diff.settling import choose_value
from wanesync.core.fields import FieldSpec
from wanesync.core.model import WANTED, Link, LinkState, RecordRef, Side, StoredRecord, WriteKind
from wanesync.core.plan import ERASED, WAIT_TEXTS, Plan, PlanContext, Rules


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """What one decision is checked against: the context of its key, and every record it may name.

    ``owners``: customer -> the contact it is actively linked with.
    """

    context: PlanContext
    records: Mapping[RecordRef, StoredRecord]
    owners: Mapping[str, str]


def check_decision(decision: Decision, known: DecisionContext, rules: Rules) -> str:  # noqa: PLR0911 - one return per verdict
    """Return why a decision cannot be carried out now; "" when it can."""
    for ref in decision.refs:
        stored = known.records.get(ref)
        if stored is None:
            return f"it names an unknown {_record_name(ref[0])}: run a reconcile first, or correct the id"
        if not stored.alive and decision.verdict is not Verdict.BOTH:
            return f"its {_record_name(ref[0])} was deleted or merged into another one"
    match decision.verdict:
        case Verdict.SKIP | Verdict.BOTH:
            return ""  # where nothing flows, both right only closes what is kept
        case Verdict.LINK:
            return _check_link(decision, known)
        case Verdict.CREATE | Verdict.LIFT:
            return _check_creation(decision, known, rules)
        case Verdict.EXCLUDE if len(decision.refs) == 1:
            side, record_id = decision.refs[0]
            return (
                "it is linked: name both records to exclude the pair"
                if known.context.active_links(side, record_id)
                else ""
            )
        case Verdict.EXCLUDE:
            paired = find_link(decision.pair, known.context, compare_key(known.context, rules).plan.links) is not None
            return "" if paired else "the two records are no pair"
        case _:
            return _check_winner(decision, known, rules)


def find_link(pair: tuple[str, str], context: PlanContext, planned: Mapping[str, Link]) -> Link | None:
    """Return the active link of a pair once the planned links are stored; None if there is none."""
    links = {link.id: link for link in context.links} | dict(planned)
    active = (link for link in links.values() if link.state is LinkState.ACTIVE)
    return next((link for link in active if (link.hubspot_id, link.stripe_id) == pair), None)


def _check_link(decision: Decision, known: DecisionContext) -> str:
    target = decision.target
    assert target is not None  # noqa: S101 - only links have one, and this is one
    contact_id, customer_id = decision.pair
    stored = known.records.get(target)
    if stored is None and (target[0].other, target[1]) in known.records:
        return f"link does not fit: the id is that of another {_record_name(target[0].other)}"
    if stored is None:
        return f"link names an unknown {_record_name(target[0])}: run a reconcile first, or correct the id"
    if not stored.alive:
        return f"link does not fit: that {_record_name(target[0])} was deleted or merged into another one"
    if known.owners.get(customer_id, contact_id) != contact_id:
        return "link does not fit: the customer is linked with another contact; exclude that pair first"
    return ""


def _check_creation(decision: Decision, known: DecisionContext, rules: Rules) -> str:
    side, record_id = ref = decision.refs[0]
    stored = known.records[ref]
    if known.context.active_links(side, record_id):
        return f"{decision.verdict} does not fit: the record is linked"
    is_erased = any(grave.erased for hmac, grave in known.context.tombstones.items() if hmac in stored.hmacs)
    if decision.verdict is Verdict.LIFT and not is_erased:
        return "lift does not fit: no privacy deletion concerns it; write create"
    if decision.verdict is Verdict.CREATE and is_erased:
        return f"create does not fit: {ERASED}; write lift if this person may be stored again"
    if stored.excluded:
        return ""
    if creates(compare_key(as_decided(known.context, ref), rules).plan):
        return ""
    outcome = compare_key(known.context, rules).plan
    why = WAIT_TEXTS.get(outcome.wait) or outcome.notes.get(ref, stored.note)
    return f"{decision.verdict} does not fit: {why or 'it has its other record already'}"


def as_decided(context: PlanContext, ref: RecordRef) -> PlanContext:
    """Return the context after an operator decided that a record's counterpart is created, whatever was deleted."""
    wanted = replace(context.records[ref], note=WANTED)
    tombstones = {hmac: grave for hmac, grave in context.tombstones.items() if hmac not in wanted.hmacs}
    return replace(context, records={**context.records, ref: wanted}, tombstones=tombstones)


def creates(outcome: Plan) -> bool:
    """Return whether a plan creates a record."""
    return any(action.kind is WriteKind.CREATE for action in outcome.actions.values())


def _check_winner(decision: Decision, known: DecisionContext, rules: Rules) -> str:
    link = find_link(decision.pair, known.context, compare_key(known.context, rules).plan.links)
    if link is None:
        return f"{decision.verdict} does not fit: the two records are no pair"
    if not link.primary:
        return f"{decision.verdict} does not fit: nothing is written between a contact and its second customer"
    spec = rules.fields.by_name.get(decision.field)
    if spec is None:
        return f"{decision.verdict} does not fit: the field is not mapped" if decision.field else ""
    records = {side: known.records[side, link.id_on(side)].record for side in Side}
    if spec.name in records[Side.HUBSPOT].unknown | records[Side.STRIPE].unknown | known.context.unusable:
        return f"{decision.verdict} does not fit: the values of {spec.name} are not known yet; run it again later"
    return _check_values(decision, spec, {side: records[side].values.get(spec.name, "") for side in Side})


def _check_values(decision: Decision, spec: FieldSpec, values: Mapping[Side, str]) -> str:
    winner = decision.verdict.winner
    if winner is None:
        chosen = choose_value(spec, decision, values)
        return chosen if isinstance(chosen, str) else ""
    if not spec.direction.reaches(winner.other):
        return f"{decision.verdict} does not fit: {spec.name} is not written to {winner.other}"
    agree = spec.agree(values[Side.HUBSPOT], values[Side.STRIPE])
    if not agree and spec.convert(winner.other, values[winner], values[winner.other]) is None:
        return f"{decision.verdict} does not fit: its value cannot be converted for {winner.other} without a guess"
    return ""


def _record_name(side: Side) -> str:
    return "contact" if side is Side.HUBSPOT else "customer"
