"""The outbox of a stand-in: webhook POSTs that are batched, signed, retried, and subject to the injected faults."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wanesync.sandbox import json_text
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stand_in import Delivery, WebhookTarget

Sign = Callable[[WebhookTarget, bytes, int], Mapping[str, str]]
FIRST_RETRY_MS = 1_000
"""HubSpot and Stripe retry after minutes to hours; here the schedule is compressed to seconds."""


@dataclass(frozen=True, slots=True)
class Post:
    """The payloads of one POST and how often it was attempted before."""

    elements: tuple[object, ...]
    attempt: int


class Outbox:
    """Holds payloads for ``delay_ms`` and batches them into POSTs of up to ``batch``, ``in_flight`` at once at most.

    With ``batch`` 1 the body is the payload itself (Stripe), otherwise a JSON array (HubSpot). A POST that gets no 2xx
    is retried after 1 s, 2 s, 4 s …, up to ``max_attempts`` attempts in all, each with a new signature and with
    ``attemptNumber`` raised where the payload has one. ``sent`` counts accepted POSTs, ``failed`` failed attempts,
    ``lost`` POSTs that were given up.
    """

    def __init__(  # noqa: PLR0913 - keyword-only; the two sides differ only in these values
        self,
        *,
        rng: random.Random,
        faults: Callable[[], Faults],
        sign: Sign,
        batch: int,
        delay_ms: int,
        in_flight: int,
        max_attempts: int = 10,
    ) -> None:
        self.target: WebhookTarget | None = None
        self.sent = self.failed = self.lost = 0
        self._rng, self._faults, self._sign = rng, faults, sign
        self._batch, self._delay_ms = batch, delay_ms
        self._in_flight, self._max_attempts = in_flight, max_attempts
        self._new: list[tuple[int, int, object]] = []
        self._retries: list[tuple[int, int, Post]] = []
        self._posted: dict[int, Post] = {}
        self._number = 0

    def put(self, payload: object, now_ms: int) -> None:
        """Add the payload of one event. Without a target it is not delivered, now or later."""
        if self.target is None:
            return
        faults = self._faults()
        if faults.drop and self._rng.random() < faults.drop:
            return
        copies = faults.deliveries + bool(faults.duplicate and self._rng.random() < faults.duplicate)
        for _ in range(copies):
            late_ms = self._rng.randint(0, faults.reorder_ms) if faults.reorder_ms else 0
            heapq.heappush(self._new, (now_ms + self._delay_ms + late_ms, self._next_number(), payload))

    def take(self, now_ms: int) -> list[Delivery]:
        """The POSTs due by now, signed; each is in flight until ``finish`` is called with its id."""
        deliveries: list[Delivery] = []
        while self.target is not None and len(self._posted) < self._in_flight:
            post = self._due(now_ms)
            if post is None:
                break
            number = self._next_number()
            self._posted[number] = post
            body = self._body(post)
            headers = {"Content-Type": "application/json", **self._sign(self.target, body, now_ms)}
            deliveries.append(Delivery(number, self.target.url, headers, body, post.attempt))
        return deliveries

    def finish(self, delivery_id: int, status: int | None, now_ms: int) -> None:
        """Record the answer to one POST (None: no answer)."""
        post = self._posted.pop(delivery_id, None)
        if post is None:
            return
        if status is not None and 200 <= status < 300:
            self.sent += 1
            return
        self.failed += 1
        if post.attempt + 1 >= self._max_attempts:
            self.lost += 1
            return
        wait_ms = FIRST_RETRY_MS * 2**post.attempt
        due_ms = now_ms + wait_ms + self._rng.randint(0, wait_ms // 4)
        heapq.heappush(self._retries, (due_ms, self._next_number(), Post(post.elements, post.attempt + 1)))

    def next_ms(self) -> int | None:
        """When the next POST is due; None when nothing waits or the maximum is in flight."""
        if self.target is None or len(self._posted) >= self._in_flight:
            return None
        return min((queue[0][0] for queue in (self._new, self._retries) if queue), default=None)

    def waiting(self) -> int:
        """How many events are not delivered yet, those in flight included."""
        posts = [post for _, _, post in self._retries] + list(self._posted.values())
        return len(self._new) + sum(len(post.elements) for post in posts)

    def _due(self, now_ms: int) -> Post | None:
        if self._retries and self._retries[0][0] <= now_ms:
            return heapq.heappop(self._retries)[2]
        elements: list[object] = []
        while self._new and self._new[0][0] <= now_ms and len(elements) < self._batch:
            elements.append(heapq.heappop(self._new)[2])
        return Post(tuple(elements), 0) if elements else None

    def _body(self, post: Post) -> bytes:
        elements = [self._with_attempt(element, post.attempt) for element in post.elements]
        return json_text.write(elements[0] if self._batch == 1 else elements)

    @staticmethod
    def _with_attempt(element: object, attempt: int) -> object:
        if isinstance(element, dict) and "attemptNumber" in element:
            return {**element, "attemptNumber": attempt}
        return element

    def _next_number(self) -> int:
        self._number += 1
        return self._number
