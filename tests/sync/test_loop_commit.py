"""Webhooks that an event loop stores in one message to Postgres each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

import psycopg
import pytest

from tests.support.database_roles import made_roles
from wanesync.core.errors import FieldMapChanged
from wanesync.core.field_generations import FieldGenerations
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, Priority
from wanesync.core.model import Event, Side
from wanesync.core.ports import ParsedWebhook
from wanesync.core.posts import Post
from wanesync.store import Store, make_key, open_store
from wanesync.store.roles.matrix import Role
from wanesync.sync.group_commit import GroupCommit
from wanesync.sync.intake import Intake, ParsedPost

S = Side.STRIPE
KEYS = [make_key("k001")]


@pytest.fixture
def store(migrated_postgres_url: str) -> Iterator[Store]:
    made = open_store(migrated_postgres_url, KEYS, migrate=True)
    yield made
    made.close()


def event(key: str, record_id: str = "cus_1", request_key: str = "", kept_id: str = "") -> Event:
    values = {"city": "Paris"}
    return Event(key, S, "updated", record_id, 1, values, request_key=request_key, source="user", kept_id=kept_id)


class Door:
    """An intake in an event loop, whose connection is open."""

    def __init__(self, store: Store) -> None:
        self.intake = Intake(store, {}, in_messages=True)
        self.fallen_back: list[Post] = []

    async def store(self, *posts: Sequence[Event]) -> list[ParsedPost]:
        settled = asyncio.Event()
        loop = asyncio.get_running_loop()
        left = list(posts)

        def settle(ended: Sequence[Post]) -> None:
            del left[: len(ended)]
            if not left:
                loop.call_soon_threadsafe(settled.set)

        made = [ParsedPost(S, settle, parsed=ParsedWebhook(list(events))) for events in posts]
        self.intake.store_prepared(made)
        await asyncio.wait_for(settled.wait(), 10)
        return made

    async def open(self) -> None:
        await self.store([])
        messages = self.intake._messages
        assert messages is not None
        put = self.intake.commits.put

        def fall_back(items: Sequence[ParsedPost]) -> None:
            self.fallen_back += items
            put(items)

        messages.fall_back = fall_back
        for _ in range(10_000):
            if not messages._opens:
                break
            await asyncio.sleep(0.001)
        assert messages._line is not None


class Recorder:
    """Keeps what is committed by another one."""

    def __init__(self, commits: GroupCommit[ParsedPost]) -> None:
        self.commits = commits
        self.items: list[ParsedPost] = []

    def put(self, items: Sequence[ParsedPost]) -> None:
        self.items += items
        self.commits.put(items)


def run(store: Store, work: Callable[[Door], Awaitable[None]]) -> Door:
    """Run a coroutine with a door that is open."""
    door = Door(store)

    async def play() -> None:
        await door.open()
        await work(door)

    asyncio.run(play())
    return door


def test_the_events_of_several_posts_are_stored_and_their_records_queued(store: Store) -> None:
    async def work(door: Door) -> None:
        first = await door.store([event("e1"), event("e2", "cus_2")], [event("e2", "cus_2"), event("e3")], [])
        assert [post.new for post in first] == [2, 1, 0]
        again = await door.store([event("e1"), event("e4", "cus_4")])
        assert [post.new for post in again] == [1]

    assert not run(store, work).fallen_back
    with store.reading() as tx:
        found = tx.events.get("e1")
        assert found is not None
        assert found == replace(event("e1"), received_ms=found.received_ms)
    assert jobs(store) == {f"cus_{number}": ("ready", Priority.LIVE) for number in (1, 2, 4)}


def jobs(store: Store) -> dict[str, tuple[str, int]]:
    with store.reading() as tx:
        rows = tx.jobs._session.execute("SELECT key, state, priority FROM jobs").fetchall()
    return {key: (state, priority) for key, state, priority in rows}


def test_a_dead_letter_of_the_record_is_closed_and_workers_are_woken(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w", "all", 1)
        tx.jobs.put_many([JobRequest(S, JobKind.READ, key) for key in ("cus_1", "cus_2")])
    with store.transaction() as tx:
        for job in tx.jobs.claim(S, [JobKind.READ], 2, "w"):
            tx.jobs.mark_dead(job, DeadClass.REFUSED, "no")
    with psycopg.connect(store._database._url, autocommit=True) as listener:  # type: ignore[attr-defined] # of Postgres
        listener.execute("LISTEN wanesync")

        async def work(door: Door) -> None:
            await door.store([event("e1")])

        assert not run(store, work).fallen_back
        heard = [found.payload for found in listener.notifies(timeout=5, stop_after=1)]
    assert heard == ["stripe"]
    with store.reading() as tx:
        assert [job.key for job in tx.dead_letters.latest()] == ["cus_2"]
        rows = tx.jobs._session.execute("SELECT state, superseded FROM jobs WHERE key = 'cus_1' ORDER BY 1").fetchall()
    assert rows == [("done", 1), ("ready", 0)]


def test_an_event_that_is_known_queues_nothing(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.put_many([event("e1")])

    async def work(door: Door) -> None:
        assert [post.new for post in await door.store([event("e1")])] == [0]

    assert not run(store, work).fallen_back
    assert jobs(store) == {}


@pytest.mark.parametrize(
    "bad",
    [replace(event("e2", "cus_2"), values={"city": "\ud800"}), replace(event("e2", "cus_2"), occurred_ms=1 << 70)],
)
def test_one_bad_element_is_set_aside_and_the_others_are_stored(store: Store, bad: Event) -> None:
    async def work(door: Door) -> None:
        posts = await door.store([event("e1")], [bad, event("e3", "cus_3")])
        assert [(post.new, post.error) for post in posts] == [(1, None), (1, None)]
        # The next one goes over the same connection.
        await door.store([event("e4", "cus_4")])

    door = run(store, work)
    assert len(door.fallen_back) == 2
    with store.reading() as tx:
        assert tx.rejected.count() == 1
        assert tx.events.marks(["e1", "e2", "e3", "e4"]).keys() == {"e1", "e3", "e4"}


def test_what_needs_a_look_at_what_is_stored_goes_the_usual_way(store: Store) -> None:
    async def work(door: Door) -> None:
        echo = event("e1", request_key="wane-u-1")
        merged = replace(event("e2", "2"), side=Side.HUBSPOT, kind="merged", merged_ids=("3",))
        usual = Recorder(door.intake.commits)
        door.intake.commits = usual  # type: ignore[assignment] # it takes its place
        posts = await door.store([echo], [merged], [event("e3")])
        assert [post.new for post in posts] == [1, 1, 1]
        assert usual.items == posts[:2]

    run(store, work)


def test_another_field_map_stops_the_door(store: Store) -> None:
    async def work(door: Door) -> None:
        with store.transaction() as tx:
            tx.settings.put("map_generation", "8")
        posts = await door.store([event("e1")])
        assert isinstance(posts[0].error, FieldMapChanged)

    store.use_fields(FieldGenerations(generation=7))
    with store.transaction() as tx:
        tx.settings.put("map_generation", "7")
    run(store, work)
    with store.reading() as tx:
        assert tx.events.get("e1") is None


def test_a_connection_that_was_lost_is_opened_again(store: Store) -> None:
    async def work(door: Door) -> None:
        messages = door.intake._messages
        assert messages is not None
        assert messages._line is not None
        pid = messages._line._line._pgconn.backend_pid  # type: ignore[attr-defined] # of Postgres
        with store.transaction() as tx:
            tx.settings._session.execute(f"SELECT pg_terminate_backend({pid})")
        # Its number is not known if the message was stored and its answer was lost.
        assert [post.error for post in await door.store([event("e1")])] == [None]
        messages._opened_s = float("-inf")
        await door.open()
        await door.store([event("e2")])

    run(store, work)
    with store.reading() as tx:
        assert tx.events.marks(["e1", "e2"]).keys() == {"e1", "e2"}


def test_what_waits_for_a_lock_does_not_keep_others(store: Store) -> None:
    async def work(door: Door) -> None:
        with store.transaction() as tx:
            tx.events.put_many([event("e1")])
            # Waits for the end of this transaction.
            waiting = asyncio.create_task(door.store([event("e1")]))
            await asyncio.sleep(0.15)
            assert [post.new for post in await door.store([event("e2", "cus_2")])] == [1]
        assert [post.new for post in await waiting] == [0]

    run(store, work)


def test_doors_count_a_crowd_together(store: Store) -> None:
    with store.transaction() as tx:
        tx.source_counts.add({"stripe:user": 190}, 0)

    async def work(door: Door) -> None:
        await door.store([event(f"e{number}", f"cus_{number}") for number in range(30)])

    assert not run(store, work).fallen_back
    assert {priority for _, priority in jobs(store).values()} == {Priority.LIVE_BULK}
    with store.transaction() as tx:
        assert tx.source_counts.add({"stripe:user": 1}, 0) == {"stripe:user": 221}


def test_a_large_message_is_sent_in_parts(store: Store) -> None:
    async def work(door: Door) -> None:
        posts = await door.store(
            *([event(f"e{number}", f"cus_{number}", kept_id="x" * 5_000)] for number in range(600))
        )
        assert sum(post.new for post in posts) == 600

    assert not run(store, work).fallen_back
    assert len(jobs(store)) == 600


@pytest.mark.parametrize("role", [Role.INTAKE, Role.QUEUE])
def test_the_role_of_a_door_may_send_messages(store: Store, migrated_postgres_url: str, role: Role) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w", "all", 1)
        tx.jobs.put(JobRequest(S, JobKind.READ, "cus_1"))
    with store.transaction() as tx:
        tx.jobs.mark_dead(tx.jobs.claim(S, [JobKind.READ], 1, "w")[0], DeadClass.REFUSED, "no")

    async def work(door: Door) -> None:
        # So many that the counts of the other doors are asked for.
        await door.store([event(f"e{number}", f"cus_{number}") for number in range(30)])
        await door.store([event("e31", "cus_2")])

    with made_roles(migrated_postgres_url) as logins:
        of_role = open_store(logins.address(role), KEYS)
        try:
            assert not run(of_role, work).fallen_back
        finally:
            of_role.close()
    with store.reading() as tx:
        assert not tx.dead_letters.latest()
    assert len(jobs(store)) == 30


def test_behind_a_pooler_there_are_no_messages(store: Store, migrated_postgres_url: str) -> None:
    pooled = open_store(migrated_postgres_url, KEYS, pooled=True)
    try:
        assert pooled.open_event_line() is None
        door = Door(pooled)

        async def work() -> None:
            for number in range(3):
                assert [post.new for post in await door.store([event(f"e{number}")])] == [1]

        asyncio.run(work())
    finally:
        pooled.close()
    assert list(jobs(store)) == ["cus_1"]
