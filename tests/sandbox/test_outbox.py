from __future__ import annotations

import copy
import random
from collections.abc import Mapping

import orjson

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.outbox import Outbox
from wanesync.sandbox.stand_in import WebhookTarget

TARGET = WebhookTarget("https://example.com/hook", "secret")


class FaultSource:
    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def current(self) -> Faults:
        return self.faults


def sign(target: WebhookTarget, body: bytes, now_ms: int) -> Mapping[str, str]:
    return {"X-Signed": f"{target.secret} {len(body)} {now_ms}"}


def outbox(faults: Faults | None = None, batch: int = 100, in_flight: int = 10, max_attempts: int = 3) -> Outbox:
    box = Outbox(
        rng=random.Random(3), faults=FaultSource(faults or Faults()).current, sign=sign, batch=batch, delay_ms=50,
        in_flight=in_flight, max_attempts=max_attempts,
    )  # fmt: skip
    box.target = TARGET
    return box


def test_events_are_batched_and_signed_when_they_are_taken() -> None:
    box = outbox()
    box.put({"n": 1}, 0)
    box.put({"n": 2}, 30)

    assert box.next_ms() == 50
    assert box.take(49) == []
    [delivery] = box.take(80)
    assert orjson.loads(delivery.body) == [{"n": 1}, {"n": 2}]
    assert delivery.headers["X-Signed"] == f"secret {len(delivery.body)} 80"
    assert (delivery.url, delivery.attempt) == (TARGET.url, 0)


def test_a_post_holds_at_most_one_batch_and_the_number_in_flight_is_limited() -> None:
    box = outbox(batch=2, in_flight=2)
    for number in range(5):
        box.put(number, 0)

    deliveries = box.take(50)
    assert [orjson.loads(delivery.body) for delivery in deliveries] == [[0, 1], [2, 3]]
    assert box.next_ms() is None
    assert box.waiting() == 5
    box.finish(deliveries[0].id, 204, 60)
    assert [orjson.loads(delivery.body) for delivery in box.take(60)] == [[4]]
    assert box.sent == 1


def test_a_batch_of_one_is_the_payload_itself() -> None:
    box = outbox(batch=1)
    box.put({"id": "evt_1"}, 0)

    assert orjson.loads(box.take(50)[0].body) == {"id": "evt_1"}


def test_a_refused_post_is_retried_with_a_new_signature_and_attempt_number_until_given_up() -> None:
    box, now_ms, attempts, signed = outbox(), 50, [], []
    box.put({"attemptNumber": 0}, 0)
    for status in (500, None, 404):
        [delivery] = box.take(now_ms)
        attempts.append((delivery.attempt, orjson.loads(delivery.body)[0]["attemptNumber"]))
        signed.append(delivery.headers["X-Signed"])
        box.finish(delivery.id, status, now_ms)
        now_ms = box.next_ms() or now_ms

    assert attempts == [(0, 0), (1, 1), (2, 2)]
    assert len(set(signed)) == 3
    assert now_ms >= 50 + 1000 + 2000
    assert (box.next_ms(), box.waiting(), box.sent, box.failed, box.lost) == (None, 0, 0, 3, 1)


def test_without_a_target_events_are_never_delivered() -> None:
    box = outbox()
    box.target = None
    box.put({}, 0)
    box.target = TARGET

    assert box.next_ms() is None


def test_faults_drop_duplicate_and_reorder() -> None:
    dropping, doubling = outbox(Faults(drop=1)), outbox(Faults(duplicate=1))
    mixing = outbox(Faults(reorder_ms=1000), in_flight=100)
    for box in (dropping, doubling, mixing):
        for number in range(20):
            box.put(number, number)

    assert dropping.waiting() == 0
    assert doubling.waiting() == 40
    order = [number for at_ms in range(2000) for post in mixing.take(at_ms) for number in orjson.loads(post.body)]
    assert sorted(order) == list(range(20))
    assert order != sorted(order)


def test_a_copy_is_independent() -> None:
    box = outbox()
    box.put("x", 0)
    copied = copy.deepcopy(box)
    copied.take(50)

    assert box.next_ms() == 50
    assert copied.next_ms() is None


def test_every_payload_is_delivered_as_often_as_asked_for() -> None:
    box = outbox(Faults(deliveries=3))
    box.put({"n": 1}, 0)
    assert box.waiting() == 3
