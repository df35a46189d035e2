"""Sides and operations that stop: nothing dies of it, one probe tries, and then everything goes on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.simulation.play import Play, play_seed
from tests.simulation.test_regressions import guest_of, stage
from wanesync.core.model import Side
from wanesync.sandbox.stand_in import Request, Response
from wanesync.store.tables.settings import PauseRow
from wanesync.sync.writes.writer import WRITES

MINUTE_MS = 60_000
PEOPLE = 12
Trouble = Callable[[Side, Request], Response | None]

FORBIDDEN = Response(403, {}, b'{"error": {"type": "invalid_request_error", "message": "no permission"}}')
UNAUTHORISED = Response(401, {}, b'{"error": {"type": "invalid_request_error", "message": "bad key"}}')
BROKEN = Response(500, {}, b'{"error": {"type": "api_error"}}')
SILENCE = Response(504, {}, b"", lost=True)


class Line:
    """The network, with something in the way for as long as ``trouble`` is set."""

    def __init__(self, play: Play, trouble: Trouble) -> None:
        self.trouble: Trouble | None = trouble
        self.times: list[int] = []
        carry, world = play.world.net.carry, play.world

        def carried(side: Side, request: Request) -> Response:
            answer = self.trouble(side, request) if self.trouble else None
            if answer is None:
                return carry(side, request)
            self.times.append(world.now)
            return answer

        world.net.carry = carried  # type: ignore[method-assign] # this one carries differently


def go_on(play: Play, for_ms: int) -> None:
    """Everything that is due, for so long."""
    end = play.world.now + for_ms
    while play.world.now < end and play.step():
        pass


def enter(play: Play, count: int = PEOPLE, first: int = 0) -> None:
    """People are entered in HubSpot."""
    for number in range(first, first + count):
        play.world.hubspot.edit("create", None, {"email": f"p{number}@example.com"}, play.world.now)
    play.world.facts.drain()


def pauses(play: Play) -> dict[str, PauseRow]:
    with play.world.store.reading() as tx:
        return tx.pauses.get_all()


def lost_patience(play: Play) -> list[tuple[str, int]]:
    """Jobs that died or counted an attempt."""
    with play.world.store.reading() as tx:
        return [(job.key, job.attempts) for job in tx.dead_letters.latest()]


def creates_refused(answer: Response) -> Trouble:
    return lambda side, request: (
        answer if side is Side.STRIPE and (request.method, request.path) == ("POST", "/v1/customers") else None
    )


def all_refused(answer: Response) -> Trouble:
    return lambda side, _request: answer if side is Side.STRIPE else None


@pytest.mark.parametrize(
    ("trouble", "name", "away", "every_ms"),
    [
        (creates_refused(FORBIDDEN), "stripe:customers.create", False, 63_000),
        (all_refused(UNAUTHORISED), "stripe", False, 63_000),
        (all_refused(SILENCE), "stripe", True, 30_000),
        (all_refused(BROKEN), "stripe", True, 30_000),
    ],
    ids=["forbidden", "bad key", "silence", "broken"],
)
def test_two_bad_hours_kill_nothing_and_everything_follows(
    trouble: Trouble, name: str, away: bool, every_ms: int
) -> None:
    with stage() as play:
        line = Line(play, trouble)
        enter(play)
        go_on(play, 120 * MINUTE_MS)
        assert (pauses(play)[name].away, lost_patience(play)) == (away, [])
        rested = [t for t in line.times if t > line.times[0] + 5 * MINUTE_MS]
        gaps = [later - earlier for earlier, later in pairwise(rested)]
        assert max(gaps) <= every_ms
        assert len(rested) <= 116 * MINUTE_MS / every_ms * 2.5, "one job at a time"
        line.trouble = None
        back_ms = play.world.now
        while not play.world.stripe.records():
            assert play.step()
        assert play.world.now - back_ms <= every_ms
        go_on(play, 2 * MINUTE_MS)
        assert len(play.world.stripe.records()) == PEOPLE
        assert not pauses(play)
        play.play()


def test_a_side_that_falls_silent_is_away_even_if_only_one_job_asks() -> None:
    with stage() as play:
        line = Line(play, all_refused(SILENCE))
        enter(play, 1)
        go_on(play, 120 * MINUTE_MS)
        assert (pauses(play)["stripe"].away, lost_patience(play)) == (True, [])
        line.trouble = None
        play.play()
        assert len(play.world.stripe.records()) == 1


def test_one_customer_that_breaks_stripe_does_not_stop_the_others() -> None:
    def breaks(side: Side, request: Request) -> Response | None:
        return BROKEN if side is Side.STRIPE and b"p0%40" in request.body else None

    with stage() as play:
        line = Line(play, breaks)
        enter(play, 1)
        go_on(play, 10 * MINUTE_MS)
        assert len(line.times) > 5
        assert "stripe" not in pauses(play)
        enter(play, 7, first=1)
        go_on(play, 10 * MINUTE_MS)
        assert len({row["email"] for row in play.world.stripe.records()}) == 7


def test_jobs_that_wait_for_a_read_do_not_ask_while_its_side_is_away() -> None:
    with stage() as play:
        world = play.world
        enter(play, 5)
        play.play()
        line = Line(play, lambda side, _: SILENCE if side is Side.HUBSPOT else None)
        for row in world.stripe.records():
            world.stripe.edit("update", row["id"], {"business_name": "New"}, world.now)
        for row in world.hubspot.records():
            world.hubspot.edit("update", row["id"], {"phone": "+12025550100"}, world.now)
        world.facts.drain()
        go_on(play, 20 * MINUTE_MS)
        steps, began_ms = play.steps, world.now
        go_on(play, 60 * MINUTE_MS)
        assert play.steps - steps < (world.now - began_ms) / 1_000
        line.trouble = None
        play.play()
        assert {world.facts.value((Side.STRIPE, row["id"]), "phone") for row in world.stripe.records()} == {
            "+12025550100"
        }


def test_a_guest_begun_before_writes_were_off_is_not_sent_again_while_they_are() -> None:
    assert play_seed(10013211).violations == []


def test_a_guest_deleted_while_the_creation_had_no_answer_is_not_made_anew() -> None:
    with stage() as play:
        world, row = play.world, guest_of(play)
        # Not by the player's own switch: it would turn them on again by itself.
        world.store.run(lambda tx: tx.settings.put(WRITES, "off"))
        go_on(play, MINUTE_MS)
        world.hubspot.edit("delete", row["id"], {}, world.now)
        world.facts.drain()
        go_on(play, MINUTE_MS)
        world.turn_writes(on=True)
        play.play()
        assert world.hubspot.records() == []
