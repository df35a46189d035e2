"""Bisection of refused batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.support.canned_server import Asked, CannedServer, Told
from tests.support.hubspot_answers import open_side, raw
from wanesync.adapters.hubspot.bisect_batch import BatchBisector
from wanesync.adapters.hubspot.errors import RefusedCall
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Record, Side
from wanesync.core.ports import CreateItem, UpdateItem
from wanesync.core.purchases import Purchase

ITEMS = (
    CreateItem("a", {"email": "A@x.de", "wanesync_intent": "i1"}),
    CreateItem("b", {"email": "b@x.de", "wanesync_intent": "i2"}),
    CreateItem("c", {"email": "c@x.de", "wanesync_intent": "i3"}),
)


def test_a_refusal_that_names_its_inputs_needs_no_bisection() -> None:
    ids = [UpdateItem(str(n), str(n), {"city": "x"}) for n in range(50)]

    def answer(asked: Asked) -> Told:
        if asked.path.endswith("/batch/read"):
            return Told(200, {"results": [raw(str(entry["id"])) for entry in asked.inputs]})
        if any(entry["id"] == "7" for entry in asked.inputs):
            return Told(400, {"category": "VALIDATION_ERROR", "context": {"ids": ["7"]}})
        return Told(200, {"results": [raw(str(entry["id"]), city="x") for entry in asked.inputs]})

    extra: list[str] = []
    with CannedServer(answer=answer) as server:
        outcomes = open_side(server, extra).update_contacts(ids)
        writes = [asked for asked in server.asked if asked.path.endswith("/batch/update")]
    assert len(writes) == 2
    assert len(extra) == len(server.asked) - 1
    bad = [trace for trace, outcome in outcomes.items() if isinstance(outcome, CallError)]
    assert bad == ["7"]


@pytest.mark.parametrize(
    ("poison", "most"),
    [([0], 9), ([63], 10), ([99], 10), ([3, 70], 19), ([1, 2, 50, 99], 37), (range(100), 4 * 8 + 96)],
)
def test_poison_is_found_by_halving(poison: Sequence[int], most: int) -> None:
    items = [CreateItem(f"t{n}", {"email": f"p{n}@x.de"}) for n in range(100)]
    bad = {f"p{n}@x.de" for n in poison}

    def answer(asked: Asked) -> Told:
        sent = [entry["properties"] for entry in asked.inputs]
        emails = [str(p["email"]) for p in sent if isinstance(p, dict)]
        if bad & set(emails):
            return Told(400, {"category": "VALIDATION_ERROR", "errors": [{"code": "INVALID_EMAIL"}]})
        return Told(201, {"results": [raw(email[1:-5], email=email) for email in reversed(emails)]})

    with CannedServer(answer=answer) as server:
        outcomes = open_side(server).create_contacts(items)
        assert len(server.asked) <= most
    assert len(outcomes) == 100
    for n, item in enumerate(items):
        outcome = outcomes[item.trace]
        if item.properties["email"] in bad:
            assert isinstance(outcome, CallError)
            assert outcome.failure is Failure.REFUSED
        else:
            assert isinstance(outcome, Record)
            assert outcome.id == str(n)


def test_a_side_that_fails_in_between_is_not_asked_again() -> None:
    refusal = Told(400, {"category": "VALIDATION_ERROR"})
    good = Told(201, {"results": [raw("1", email="a@x.de", wanesync_intent="i1")]})
    with CannedServer(refusal, good, Told(503)) as server:
        outcomes = open_side(server).create_contacts([*ITEMS, CreateItem("d", {"email": "d@x.de"})])
        assert len(server.asked) == 3
    kinds = {trace: getattr(outcome, "failure", None) for trace, outcome in outcomes.items()}
    assert kinds == {"a": None, "b": Failure.NO_ANSWER, "c": Failure.UNAVAILABLE, "d": Failure.UNREACHED}


def test_a_first_request_without_an_answer_raises() -> None:
    with CannedServer(Told(reset=True)) as server, pytest.raises(CallError) as raised:
        open_side(server).create_contacts(ITEMS)
    assert raised.value.failure is Failure.NO_ANSWER


def test_one_bad_event_does_not_hold_up_the_others() -> None:
    items = {
        f"pi_{n}": Purchase(f"pi_{n}", "ch", "", "", "", n, "usd", 0, contact_id="bad" if n == 3 else "1")
        for n in range(8)
    }

    def answer(asked: Asked) -> Told:
        bad = any(entry["objectId"] == "bad" for entry in asked.inputs)
        return Told(400, {"category": "VALIDATION_ERROR"}) if bad else Told(204)

    with CannedServer(answer=answer) as server:
        outcomes = open_side(server).send_events(items)
    assert [payment for payment, outcome in outcomes.items() if outcome is not None] == ["pi_3"]


def refusal(*traces: str) -> RefusedCall:
    return RefusedCall(Side.HUBSPOT, Failure.REFUSED, "refused", status=400, traces=traces)


def bisect(items: str, send: Callable[[Sequence[str]], dict[str, str | CallError]]) -> dict[str, str | CallError]:
    def find_named(refused: RefusedCall, group: Sequence[str]) -> list[str]:
        return [item for item in group if item in refused.traces]

    return BatchBisector[str, str](send, str, find_named, lambda: None).run(list(items))


def test_a_batch_without_bad_items_is_one_request() -> None:
    groups: list[str] = []

    def send(group: Sequence[str]) -> dict[str, str | CallError]:
        groups.append("".join(group))
        return dict.fromkeys(group, "done")

    assert bisect("abcd", send) == dict.fromkeys("abcd", "done")
    assert groups == ["abcd"]


def test_the_items_that_a_refusal_names_are_left_out_of_the_next_request() -> None:
    groups: list[str] = []

    def send(group: Sequence[str]) -> dict[str, str | CallError]:
        groups.append("".join(group))
        if "c" in group:
            raise refusal("c")
        return dict.fromkeys(group, "done")

    outcomes = bisect("abcd", send)
    assert groups == ["abcd", "abd"]
    assert {item for item, outcome in outcomes.items() if isinstance(outcome, CallError)} == {"c"}


@pytest.mark.parametrize("failure", [Failure.RATE_LIMITED, Failure.UNAUTHORISED, Failure.BUSY])
def test_after_a_failure_that_is_no_refusal_nothing_more_is_sent(failure: Failure) -> None:
    groups: list[str] = []

    def send(group: Sequence[str]) -> dict[str, str | CallError]:
        groups.append("".join(group))
        raise refusal() if len(groups) == 1 else CallError(Side.HUBSPOT, failure, "not now")

    outcomes = bisect("abcd", send)
    assert groups == ["abcd", "ab"]
    assert {item: getattr(outcome, "failure", None) for item, outcome in outcomes.items()} == dict.fromkeys(
        "abcd", failure
    )
