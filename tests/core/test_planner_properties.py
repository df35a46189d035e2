"""What holds for every plan: small worlds of contacts, customers and links, planned key by key and carried out."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.core_builders import HUBSPOT, RULES, STEADY, STRIPE, contact, customer, link, stored
from wanesync.core.matching import match_customer
from wanesync.core.model import Deletion, Link, LinkState, RecordRef, Side, StoredRecord, WriteKind
from wanesync.core.plan import Plan, PlanContext
from wanesync.core.planner import plan

CONTACTS = ("1", "2", "3")
CUSTOMERS = ("cus_1", "cus_2", "cus_3")
KEYS = (*(f"contact:{i}" for i in CONTACTS), *(f"customer:{i}" for i in CUSTOMERS))
ADDRESSES = ("a@x.org", "b@x.org", "c@x.org")
PHONES = ("", "110", "112")
MANY = settings(STEADY, max_examples=500)


def make_scene(seed: int) -> PlanContext:
    """One key of a small world; every seed is another one."""
    rng = random.Random(seed)
    records = {**make_contacts(rng), **make_customers(rng)}
    kind = rng.choice((HUBSPOT, HUBSPOT, STRIPE))
    record_id = rng.choice([i for side, i in records if side is kind])
    return PlanContext(
        f"{'contact' if kind is HUBSPOT else 'customer'}:{record_id}",
        records,
        make_links(rng),
        email_holders={rng.choice(ADDRESSES): rng.choice(KEYS)} if rng.random() < 0.2 else {},
        tombstones={rng.choice(ADDRESSES): Deletion(0)} if rng.random() < 0.2 else {},
        reading=frozenset({rng.choice(sorted(records))} if rng.random() < 0.2 else ()),
        listed=rng.random() < 0.9,
    )


def make_contacts(rng: random.Random) -> dict[RecordRef, StoredRecord]:
    """Three contacts; no two alive ones share an address, as HubSpot sees to it."""
    found: dict[RecordRef, StoredRecord] = {}
    free = list(ADDRESSES)
    rng.shuffle(free)
    for record_id in CONTACTS:
        deleted = rng.random() < 0.1
        survivor = rng.choice([i for i in CONTACTS if i > record_id] or [""]) if rng.random() < 0.15 else ""
        if deleted or survivor:
            mine = {rng.choice(ADDRESSES)}
        else:
            mine = {free.pop() for _ in range(rng.choice((0, 1, 1, 1, 2))) if free}
        made = contact(record_id, some(rng, CUSTOMERS), email=min(mine, default=""), phone=rng.choice(PHONES))
        doubt = rng.random() < 0.1
        found[(HUBSPOT, record_id)] = stored(
            made, hmacs=frozenset(mine), deleted=deleted, survivor="" if deleted else survivor, stale=doubt
        )
    return found


def make_customers(rng: random.Random) -> dict[RecordRef, StoredRecord]:
    """Three customers, who may share an address."""
    found: dict[RecordRef, StoredRecord] = {}
    for record_id in CUSTOMERS:
        email = "" if rng.random() < 0.15 else rng.choice(ADDRESSES)
        made = customer(record_id, some(rng, CONTACTS), email=email, phone=rng.choice(PHONES))
        made = replace(made, billed=rng.random() < 0.5, created_ms=rng.randrange(3))
        found[(STRIPE, record_id)] = stored(made, deleted=rng.random() < 0.1, stale=rng.random() < 0.1)
    return found


def make_links(rng: random.Random) -> list[Link]:
    """Links that keep the invariant, old ones among them; now and then a contact that lacks a primary."""
    found: list[Link] = []
    primaries: set[str] = set()
    for customer_id in CUSTOMERS:
        for contact_id in rng.sample(CONTACTS, rng.choice((0, 0, 1, 1, 2))):
            taken = any(k.stripe_id == customer_id and k.state is LinkState.ACTIVE for k in found)
            past = (LinkState.ORPHANED, LinkState.RELEASED)
            state = rng.choice(past) if taken or rng.random() < 0.3 else LinkState.ACTIVE
            primary = state is LinkState.ACTIVE and contact_id not in primaries and rng.random() < 0.9
            primaries |= {contact_id} if primary else set()
            base = {"phone": (rng.choice(PHONES), rng.choice(PHONES))} if rng.random() < 0.6 else {}
            version = rng.randint(1, 9)
            found.append(link(contact_id, customer_id, base, primary=primary, state=state, version=version))
    return found


def some(rng: random.Random, ids: tuple[str, ...]) -> str:
    """Sometimes one of the ids."""
    return rng.choice(ids) if rng.random() < 0.2 else ""


def contexts() -> st.SearchStrategy[PlanContext]:
    """Small worlds."""
    return st.integers(0, 2**40).map(make_scene)


def remember(context: PlanContext, outcome: Plan) -> PlanContext:
    """The context after everything but the API writes of a plan is carried out."""
    records = dict(context.records)
    for ref, note in outcome.notes.items():
        records[ref] = replace(records[ref], note=note)
    after = {k.id: k for k in context.links} | outcome.links
    buried = {h: Deletion(grave.at_ms, grave.erased) for grave in outcome.tombstones for h in grave.hmacs}
    return replace(context, records=records, links=list(after.values()), tombstones={**context.tombstones, **buried})


def source_of(context: PlanContext) -> StoredRecord:
    kind, _, record_id = context.key.partition(":")
    return context.records[(HUBSPOT if kind == "contact" else STRIPE, record_id)]


def keeps_the_invariant(found: list[Link]) -> bool:
    active = [k for k in found if k.state is LinkState.ACTIVE]
    per_customer = Counter(k.stripe_id for k in active)
    per_pair = Counter((k.hubspot_id, k.stripe_id) for k in found)
    primaries = Counter(k.hubspot_id for k in found if k.primary)
    return all(max(counter.values(), default=0) <= 1 for counter in (per_customer, per_pair, primaries))


# -- links


@given(context=contexts())
@MANY
def test_one_active_link_a_customer_one_link_a_pair_and_one_primary_a_contact(context: PlanContext) -> None:
    assert keeps_the_invariant(remember(context, plan(context, RULES, "new")).links)


@given(context=contexts())
@MANY
def test_the_contact_that_was_planned_has_a_primary_if_it_has_a_customer(context: PlanContext) -> None:
    outcome = plan(context, RULES, "new")
    if context.key.startswith("contact:") and not outcome.wait and source_of(context).alive:
        after = remember(context, outcome)
        mine = after.active_links(HUBSPOT, source_of(context).id)
        assert not mine or sum(k.primary for k in mine) == 1


@given(context=contexts())
@MANY
def test_a_link_that_changes_grows_by_one_version(context: PlanContext) -> None:
    before = {k.id: k.version for k in context.links}
    for made in plan(context, RULES, "new").links.values():
        assert made.version == before.get(made.id, 0) + 1


@given(context=contexts())
@MANY
def test_a_contact_has_at_most_one_primary_link_and_only_a_deleted_one_remembers_it(context: PlanContext) -> None:
    links = {k.id: k for k in context.links} | plan(context, RULES, "new").links
    active = [k.hubspot_id for k in links.values() if k.primary and k.state is LinkState.ACTIVE]
    before = [k.hubspot_id for k in context.links if k.primary and k.state is LinkState.ACTIVE]
    assert len(set(active)) == len(active) or len(set(before)) < len(before)
    for k in plan(context, RULES, "new").links.values():
        gone = context.find(HUBSPOT, context.survivor(k.hubspot_id))
        assert k.state is LinkState.ACTIVE or not k.primary or (gone is not None and gone.deleted)


@given(context=contexts())
@MANY
def test_only_the_one_certain_match_is_linked(context: PlanContext) -> None:
    for contact_id, customer_id in plan(context, RULES, "new").linked:
        match = match_customer(context, context.records[(STRIPE, customer_id)])
        assert (match.contact_id, match.problem) == (contact_id, None)


@given(context=contexts())
@MANY
def test_what_is_linked_is_alive_certain_and_not_being_read(context: PlanContext) -> None:
    for contact_id, customer_id in plan(context, RULES, "new").linked:
        for ref in ((HUBSPOT, contact_id), (STRIPE, customer_id)):
            assert context.records[ref].alive
            assert not context.records[ref].stale
            assert ref not in context.reading


@given(context=contexts())
@MANY
def test_a_pair_taken_apart_by_hand_stays_apart(context: PlanContext) -> None:
    released = {(k.hubspot_id, k.stripe_id) for k in context.links if k.state is LinkState.RELEASED}
    assert not released & set(plan(context, RULES, "new").linked)


@given(context=contexts())
@MANY
def test_every_record_a_plan_links_is_locked(context: PlanContext) -> None:
    outcome = plan(context, RULES, "new")
    assert {f"customer:{customer_id}" for _, customer_id in outcome.linked} <= outcome.locks


# -- creations


@given(context=contexts())
@MANY
def test_a_creation_breaks_none_of_the_rules(context: PlanContext) -> None:
    for side, action in plan(context, RULES, "new").actions.items():
        if action.kind is not WriteKind.CREATE:
            continue
        source = source_of(context)
        assert context.listed
        assert source.alive
        assert not source.stale
        assert source.hmacs
        graves = [context.tombstones[hmac] for hmac in source.hmacs if hmac in context.tombstones]
        assert not any(grave.blocks(source.record.created_ms) for grave in graves)
        assert (source.side, source.id) not in context.reading
        assert not [h for h in source.hmacs if context.email_holders.get(h, context.key) != context.key]
        assert not context.find_sharing(side, source.hmacs)
        assert not [k for k in context.links if k.id_on(source.side) == source.id]


@given(context=contexts())
@MANY
def test_a_plan_that_waits_writes_nothing(context: PlanContext) -> None:
    outcome = plan(context, RULES, "new")
    assert not (outcome.wait and outcome.actions)


# -- updates


@given(context=contexts())
@MANY
def test_only_the_primary_pair_of_the_key_is_written(context: PlanContext) -> None:
    outcome = plan(context, RULES, "new")
    after = remember(context, outcome)
    for side, action in outcome.actions.items():
        if action.kind is WriteKind.UPDATE:
            made = next(k for k in after.links if k.id == action.link_id)
            assert made.primary
            assert made.state is LinkState.ACTIVE
            assert (action.target_id, action.source_id) == (made.id_on(side), made.id_on(side.other))
            for end in Side:
                assert not after.records[(end, made.id_on(end))].stale
                assert after.records[(end, made.id_on(end))].alive


@given(context=contexts())
@MANY
def test_the_dead_are_never_written_to(context: PlanContext) -> None:
    for side, action in plan(context, RULES, "new").actions.items():
        assert not action.target_id or context.records[(side, action.target_id)].alive


# -- rest


@given(context=contexts())
@MANY
def test_a_plan_carried_out_has_nothing_left_to_remember(context: PlanContext) -> None:
    outcome = plan(context, RULES, "new")
    if outcome.wait:
        return
    again = plan(remember(context, outcome), RULES, "newer")
    if context.key.startswith("customer:"):
        again.wake.clear()  # a linked customer always hands over to its contact
    assert not again.changes
    assert again.actions == outcome.actions


@given(context=contexts())
@MANY
def test_planning_does_not_change_the_scene(context: PlanContext) -> None:
    copy = replace(context, records=dict(context.records), links=list(context.links))
    plan(context, RULES, "new")
    assert context == copy


@given(context=contexts())
@MANY
def test_the_same_scene_gives_the_same_plan(context: PlanContext) -> None:
    assert plan(context, RULES, "new") == plan(context, RULES, "new")


@given(context=contexts(), keys=st.permutations(KEYS))
@MANY
def test_whatever_the_order_of_keys_the_invariant_holds_and_no_person_is_created_twice(
    context: PlanContext, keys: list[str]
) -> None:
    made: list[str] = []
    for key in keys:
        context = replace(context, key=key)
        outcome = plan(context, RULES, f"new-{key}")
        if not outcome.wait:
            context = remember(context, outcome)
        created = [a for a in outcome.actions.values() if a.kind is WriteKind.CREATE]
        context = replace(
            context, email_holders={**context.email_holders, **{h: key for a in created for h in a.hmacs}}
        )
        made += [h for a in created for h in a.hmacs]
        assert keeps_the_invariant(context.links)
    assert len(made) == len(set(made))
