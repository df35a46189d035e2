"""Answers: what a vendor's answer to our write says about each field that was sent.

A success is not agreement: the answer is compared with what was sent (docs/correctness.md#answers).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wanesync.core.fields import FieldMap, FieldSpec
from wanesync.core.model import BasePair, Change, Conflict, PendingWrite, Record, Side, WriteKind, not_taken_key
from wanesync.core.normalize import FREE_FORMS
from wanesync.core.values.business_names import company_field
from wanesync.core.values.typed import may_be_typed_form


@dataclass(slots=True)
class Settled:
    """``base``: field -> what both sides hold now. ``refused``: field -> (sent, what stands instead).

    ``conflicts``: for each of the latter, the values of both sides. ``put_back``: what no field holds and was put back.
    """

    base: dict[str, BasePair] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    put_back: set[str] = field(default_factory=set)


def settle_answer(pending: PendingWrite, answer: Record, fields: FieldMap) -> Settled:
    """Compare the answer to a write with what was sent.

    A value that only changed its form is that side's half of the base. So is a value that did not take: nothing is sent
    again until one side changes. A field that the answer does not hold keeps its base, and so does one that was put
    back: from there its value flows to the other side.
    """
    settled = Settled()
    for name, change in _known(pending, answer):
        stands = answer.values.get(name, "")
        unsent = stands and pending.kind is WriteKind.CREATE and not change.after
        if unsent and not fields.is_filled_in(answer, name):
            stands = ""  # nothing was sent: what stands is that side's own, and flows like any other value
        if change.put_back and name not in fields.by_name:
            settled.put_back.add(name)
        elif not change.put_back:
            settled.base[name] = _pair(pending.side, stands, change.source)
        if stands != change.after and not _took(answer, name, change, stands, fields):
            source = _business_name_of(pending, name, fields)
            if source:
                _refuse_business_name(settled, pending, name, source, stands)
            else:
                _refuse(settled, pending, answer, name, stands)
    return settled


def settle_found(pending: PendingWrite, found: Record, fields: FieldMap) -> Settled:
    """Compare a record that was found by our ids with the creation whose answer was lost.

    What differs is an edit made since, except a text that the vendor cut short and a name that it filled in.
    """
    settled = Settled()
    for name, change in _known(pending, found):
        stands, sent = found.values.get(name, ""), change.after
        if fields.is_filled_in(found, name) and not sent:
            settled.base[name] = _pair(pending.side, stands, change.source)
        elif is_cut_short(stands, sent) and not _is_typed(fields, name):
            settled.base[name] = _pair(pending.side, stands, change.source)
            _refuse(settled, pending, found, name, stands)
        else:
            settled.base[name] = _pair(pending.side, sent, change.source)
    return settled


def is_cut_short(stands: str, sent: str) -> bool:
    """Return whether a value is what a vendor left of a longer one."""
    return bool(stands) and stands != sent and sent.startswith(stands)


def is_in_typed_form(spec: FieldSpec, stands: str, sent: str) -> bool:
    """Return whether HubSpot may have taken a text for a value of a property that is no text, which the map calls text.

    Two such texts are the same only there, where one is what became of the other (docs/correctness.md#typed-values).
    """
    return spec.transform in FREE_FORMS and may_be_typed_form(stands, sent)


def _is_typed(fields: FieldMap, name: str) -> bool:
    spec = fields.by_name.get(name)
    return spec is not None and spec.form.is_typed


def _known(pending: PendingWrite, answer: Record) -> list[tuple[str, Change]]:
    return [(name, change) for name, change in pending.changes.items() if name not in answer.unknown]


def _took(answer: Record, name: str, change: Change, stands: str, fields: FieldMap) -> bool:
    spec = fields.by_name.get(name)
    if spec is None or spec.key(stands) == spec.key(change.after):
        return True
    if answer.side is Side.HUBSPOT and is_in_typed_form(spec, stands, change.after):
        return True
    return not change.after and fields.is_filled_in(answer, name)


def _refuse(settled: Settled, pending: PendingWrite, answer: Record, name: str, stands: str) -> None:
    change = pending.changes[name]
    settled.refused[name] = (change.after, stands)
    settled.conflicts += [
        Conflict(pending.side.other, pending.source_id, name, change.source, "not_taken"),
        Conflict(pending.side, answer.id, name, stands, "not_taken"),
    ]
    if change.put_back:
        # A user had set it there, and a write of ours buried it: now it stands nowhere.
        settled.conflicts.append(Conflict(pending.side, answer.id, name, change.after, "overwritten"))


def _business_name_of(pending: PendingWrite, name: str, fields: FieldMap) -> str:
    """Return the field of the full name that a write made a contact's company, "" if the company is Stripe's own."""
    change = pending.changes[name]
    if pending.side is Side.STRIPE or not change.after or change.source or change.put_back:
        return ""
    companies = {spec.name: company_field(fields, spec.name) for spec in fields.specs if spec.transform == "name"}
    return next((of for of, company in companies.items() if company is not None and company.name == name), "")


def _refuse_business_name(settled: Settled, pending: PendingWrite, name: str, source: str, stands: str) -> None:
    """Keep the name of a business that a contact's company did not take: no value of the company's field is lost."""
    after = pending.changes[name].after
    settled.refused[name] = (after, stands)
    settled.base[not_taken_key(name)] = (stands, after)
    settled.conflicts.append(Conflict(pending.side.other, pending.source_id, source, after, "not_taken"))


def _pair(side: Side, written: str, source: str) -> BasePair:
    return (written, source) if side is Side.HUBSPOT else (source, written)
