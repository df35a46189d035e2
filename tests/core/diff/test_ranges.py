"""Ranges: whatever the records, the lanes and the times of crashes, everything is listed and no thread is stuck."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.core_builders import STEADY
from wanesync.core.diff.ranges import ListingRange, ListingRanges

Place = tuple[int, str]
"""Where a record stands, and its id."""
LAST = 1 << 40


@dataclass
class Side:
    """A side that is listed: contacts rise by id, customers fall by the second they were created in."""

    rising: bool
    places: list[Place]
    size: int
    asked: int = 0

    def page(self, span: ListingRange) -> tuple[list[Place], str]:
        """One page as the two APIs give it, and the cursor of the next."""
        self.asked += 1
        if self.rising:
            found = [p for p in self.places if p[0] > int(span.next or -1)]
        else:
            found = [p for p in reversed(self.places) if span.low <= p[0] <= span.high]
            ids = [p[1] for p in found]
            found = found[ids.index(span.next) + 1 :] if span.next in ids else found if not span.next else []
        page, rest = found[: self.size], found[self.size :]
        return page, page[-1][1] if rest else ""


@dataclass
class Run:
    """One process: spans in memory, calls under way, and what was handed over and not kept yet, in order."""

    side: Side
    spans: ListingRanges
    lanes: int
    calls: list[tuple[int, list[Place], str]] = field(default_factory=list)
    handed: deque[tuple[tuple[ListingRange, ...], list[Place]]] = field(default_factory=deque)
    busy: set[int] = field(default_factory=set)


@dataclass
class Kept:
    """What outlives a process."""

    spans: dict[int, ListingRange]
    places: set[Place] = field(default_factory=set)


def begin(run: Run) -> bool:
    """A lane takes a span, or goes on with its own, and asks for a page."""
    mine = [n for n in run.spans.taken if n not in run.busy]
    if mine:
        number = mine[0]
    else:
        took = run.spans.take(run.lanes)
        if took is None:
            return False
        if took[1] is not None:
            run.handed.append(((took[0], took[1]), []))
        number = took[0].number
    run.busy.add(number)
    run.calls.append((number, *run.side.page(run.spans.ranges[number])))
    return True


def answer(run: Run, which: int) -> bool:
    """A page arrives: its span goes on, and the page is handed over, in one breath."""
    if not run.calls:
        return False
    number, page, following = run.calls.pop(which % len(run.calls))
    run.busy.discard(number)
    run.handed.append(((run.spans.advance(number, page[-1][0] if page else -1, following),), page))
    return True


def keep(run: Run, kept: Kept) -> bool:
    """The oldest of what was handed over is written down."""
    if not run.handed:
        return False
    spans, page = run.handed.popleft()
    kept.spans |= {span.number: span for span in spans}
    kept.places |= set(page)
    return True


def places(rising: bool) -> st.SearchStrategy[list[Place]]:
    if rising:
        return st.sets(st.integers(0, 3000), max_size=40).map(lambda ids: [(i, str(i)) for i in sorted(ids)])
    seconds = st.lists(st.integers(100, 100 + 30), max_size=40)
    return seconds.map(lambda found: [(s, f"cus_{n}") for n, s in enumerate(sorted(found))])


@st.composite
def sides(draw: st.DrawFn) -> tuple[Side, ListingRange]:
    rising = draw(st.booleans())
    side = Side(rising, draw(places(rising)), draw(st.integers(1, 7)))
    if not rising:
        return side, ListingRange(0, draw(st.sampled_from((0, 100))), 130)
    highest = max((p[0] for p in side.places), default=0)
    # The highest id may have been looked up before younger contacts came.
    return side, ListingRange(0, 0, draw(st.sampled_from((LAST, highest, highest // 2))))


STEPS = st.lists(st.tuples(st.sampled_from("bbakx"), st.integers(0, 7)), max_size=120)


@settings(STEADY, max_examples=400)
@given(where=sides(), lanes=st.integers(1, 9), steps=STEPS)
def test_every_record_is_listed_however_it_is_interleaved_and_killed(
    where: tuple[Side, ListingRange], lanes: int, steps: list[tuple[str, int]]
) -> None:
    side, whole = where
    kept = Kept({0: whole})
    run = Run(side, ListingRanges.of(side.rising, kept.spans.values()), lanes)
    for step, which in steps:
        if step == "b":
            begin(run)
        elif step == "a":
            answer(run, which)
        elif step == "k":
            keep(run, kept)
        else:
            run = Run(side, ListingRanges.of(side.rising, kept.spans.values()), lanes)
            assert sorted(kept.spans) == list(range(len(kept.spans))), "a number is given to two spans otherwise"
    for _ in range(2000):
        moved = [begin(run), answer(run, 0), keep(run, kept)]
        if not any(moved):
            break
    assert run.spans.done, "a range was never finished"
    assert kept.places == set(side.places)
    assert all(span.done for span in kept.spans.values())


@settings(STEADY, max_examples=100)
@given(count=st.integers(0, 400), size=st.integers(1, 20), lanes=st.integers(1, 9), rising=st.booleans())
def test_dividing_costs_little(count: int, size: int, lanes: int, rising: bool) -> None:
    found = [(i, str(i)) for i in range(1, count + 1)]
    side = Side(rising, found, size)
    run = Run(side, ListingRanges.of(rising, [ListingRange(0, 0, max(count, 1))]), lanes)
    kept = Kept({})
    while any((*[begin(run) for _ in range(lanes)], answer(run, 0), keep(run, kept))):
        pass
    assert kept.places == set(found)
    pages = -(-count // size)
    assert side.asked <= pages + len(run.spans.ranges)
    assert lanes > 1 or side.asked <= pages + 1, "one lane divides nothing"


def test_a_span_whose_first_page_is_under_way_is_not_divided() -> None:
    spans = ListingRanges.of(True, [ListingRange(0, 0, 1000)])
    assert spans.take(4) == (ListingRange(0, 0, 1000), None)
    assert spans.take(4) is None


def test_of_a_second_with_many_customers_none_is_left_out() -> None:
    side = Side(False, [(100, f"cus_{n}") for n in range(50)], 3)
    run, kept = Run(side, ListingRanges.of(False, [ListingRange(0, 90, 110)]), 4), Kept({})
    while any((begin(run), begin(run), answer(run, 0), keep(run, kept))):
        pass
    assert len(kept.places) == 50


def test_a_released_span_is_taken_again() -> None:
    spans = ListingRanges.of(False, [ListingRange(0, 0, 9)])
    spans.take(1)
    assert spans.take(1) is None
    spans.release(0)
    assert spans.take(1) == (ListingRange(0, 0, 9), None)
