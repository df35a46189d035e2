"""Group commit: what arrives during a commit shares the next one, and threads end without work."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from structlog.testing import capture_logs

from wanesync.sync.group_commit import BUSY_S, MAX_SHARED_WEIGHT, GroupCommit

WAIT_S = 10


class Commits:
    """Takes note of commits; ``gate`` lets each of them end."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.begun: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def __call__(self, items: Sequence[str]) -> None:
        self.begun.put(list(items))
        assert self.gate.acquire(timeout=WAIT_S)


def test_items_that_arrive_during_a_commit_share_the_next_one() -> None:
    commits = Commits()
    group = GroupCommit(commits, lambda _item: 1)
    group.put(["a"])
    assert commits.begun.get(timeout=WAIT_S) == ["a"]
    group.put(["b"])
    group.put(["c", "d"])
    commits.gate.release(2)
    assert commits.begun.get(timeout=WAIT_S) == ["b", "c", "d"]


def test_several_threads_commit_at_once() -> None:
    commits = Commits()
    group = GroupCommit(commits, lambda _item: 1, threads=2)
    group.put(["a"])
    assert commits.begun.get(timeout=WAIT_S) == ["a"]
    group.put(["b"])
    assert commits.begun.get(timeout=WAIT_S) == ["b"]
    group.put(["c"])
    assert group.count_waiting() == 1
    commits.gate.release(3)
    assert commits.begun.get(timeout=WAIT_S) == ["c"]


def test_a_commit_holds_no_more_than_its_share_but_one_item_of_any_weight() -> None:
    commits = Commits()
    group = GroupCommit(commits, {"a": 1, "b": MAX_SHARED_WEIGHT - 1, "c": 1, "d": 2 * MAX_SHARED_WEIGHT}.__getitem__)
    commits.gate.release(9)
    group.put(["a", "b", "c", "d"])
    assert [commits.begun.get(timeout=WAIT_S) for _ in range(3)] == [["a", "b"], ["c"], ["d"]]


def test_a_thread_without_work_ends_and_the_next_item_begins_another() -> None:
    commits = Commits()
    commits.gate.release(9)
    group = GroupCommit(commits, lambda _item: 1, idle_s=0.01)
    for item in ("a", "b"):
        group.put([item])
        assert commits.begun.get(timeout=WAIT_S) == [item]
        for thread in threading.enumerate():
            if thread.name == "intake" and thread is not threading.current_thread():
                thread.join(0.1)


def test_only_soon_after_a_commit_others_are_waited_for_which_then_share_the_next() -> None:
    commits, slept, now_s = Commits(), list[float](), [100.0]
    commits.gate.release(9)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        # Another one comes meanwhile.
        group.put(["c"])

    group = GroupCommit(commits, lambda _item: 1, sleep=sleep, monotonic_s=lambda: now_s[0])
    group.put(["a"])
    assert (commits.begun.get(timeout=WAIT_S), slept) == (["a"], [])
    while group._ended_s < now_s[0]:
        threading.Event().wait(0.001)
    now_s[0] += BUSY_S / 2
    group.put(["b"])
    assert (commits.begun.get(timeout=WAIT_S), slept) == (["b", "c"], [group.gather_s])
    while group._ended_s < now_s[0]:
        threading.Event().wait(0.001)
    now_s[0] += 2 * BUSY_S
    group.put(["d"])
    assert (commits.begun.get(timeout=WAIT_S), slept) == (["d"], [group.gather_s])


def test_while_a_thread_waits_for_others_no_other_one_takes_them() -> None:
    commits, gathering, goes_on, now_s = Commits(), threading.Semaphore(0), threading.Semaphore(0), 100.0

    def sleep(_seconds: float) -> None:
        gathering.release()
        assert goes_on.acquire(timeout=WAIT_S)

    group = GroupCommit(commits, lambda _item: 1, threads=2, sleep=sleep, monotonic_s=lambda: now_s, enough=3)
    group.put(["a"])
    assert commits.begun.get(timeout=WAIT_S) == ["a"]
    # The first commit has ended, and both threads are free.
    commits.gate.release()
    while group._ended_s < now_s:
        threading.Event().wait(0.001)
    group.put(["b", "c"])
    assert gathering.acquire(timeout=WAIT_S), "two are not enough"
    group.put(["d"])
    group.put(["e"])
    goes_on.release()
    assert commits.begun.get(timeout=WAIT_S) == ["b", "c", "d", "e"]
    group.put(["f", "g", "h"])
    assert commits.begun.get(timeout=WAIT_S) == ["f", "g", "h"], "three are enough"
    commits.gate.release(2)


def test_a_wait_for_others_that_fails_holds_up_no_commit() -> None:
    def fail(_seconds: float) -> None:
        raise OSError("no clock")

    commits = Commits()
    commits.gate.release(9)
    group = GroupCommit(commits, lambda _item: 1, sleep=fail, monotonic_s=lambda: 0.0)
    group._ended_s = 0.0
    with capture_logs() as logs:
        for item in "abc":
            group.put([item])
            assert commits.begun.get(timeout=WAIT_S) == [item]
    assert [line["error"] for line in logs][:1] == ["no clock"]
