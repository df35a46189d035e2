"""The pool of calls: as many threads as are needed, and no end that waits for one of them."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from wanesync.worker.threads import ThreadPool

DEADLINE_S = 20


def test_it_works_side_by_side_up_to_its_size() -> None:
    pool, together, done = ThreadPool(3, "test"), threading.Barrier(3), threading.Semaphore(0)

    def meet() -> None:
        together.wait(DEADLINE_S)
        done.release()

    for _ in range(6):
        pool.submit(meet)
    for _ in range(6):
        assert done.acquire(timeout=DEADLINE_S)
    assert len(pool._threads) == 3
    pool.close()
    for thread in pool._threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_one_thread_is_enough_for_one_at_a_time() -> None:
    pool, done = ThreadPool(8, "test"), threading.Semaphore(0)
    for _ in range(20):
        pool.submit(done.release)
        assert done.acquire(timeout=DEADLINE_S)
        # Its thread has said that it is free.
        assert pool._idle.acquire(timeout=DEADLINE_S)
        pool._idle.release()
    assert len(pool._threads) == 1
    pool.close()


def test_work_that_did_not_begin_is_dropped() -> None:
    pool, began, go_on = ThreadPool(1, "test"), threading.Event(), threading.Event()
    ran: list[int] = []

    def hold() -> None:
        began.set()
        go_on.wait(DEADLINE_S)

    pool.submit(hold)
    assert began.wait(DEADLINE_S)
    pool.submit(ran.append, 1)
    pool.close()
    go_on.set()
    pool._threads[0].join(DEADLINE_S)
    assert ran == []


@pytest.mark.slow
def test_the_process_ends_without_waiting_for_a_call() -> None:
    program = (
        "from wanesync.worker.threads import ThreadPool; import threading\n"
        "began = threading.Event()\n"
        "ThreadPool(1, 'call').submit(lambda: (began.set(), threading.Event().wait(60)))\n"
        "began.wait(10)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=DEADLINE_S)
