"""The key of a side while a process runs: a new one counts once the side has confirmed it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from wanesync.config.secret_source import SecretSource
from wanesync.core.errors import CallError, ConfigError, Failure, WrongAccount
from wanesync.core.model import Side
from wanesync.worker.api_key import ASK_INTERVAL_S, RenewedKey

NAME = "stripe.api_key"


@dataclass
class Manager:
    """A manager, a side and a clock."""

    value: str = "sk_test_old"
    trouble: Exception | None = None
    asked: int = 0
    checked: list[str] = field(default_factory=list)
    replaced: int = 0
    now_s: float = 100.0

    def look_up(self, _key: str, _text: str) -> list[str]:
        self.asked += 1
        return [self.value]

    def check(self, key: str) -> None:
        self.checked.append(key)
        if self.trouble is not None:
            raise self.trouble

    def note(self) -> None:
        self.replaced += 1


def build(manager: Manager, written: str = "aws-sm:stripe") -> RenewedKey:
    source = SecretSource({NAME: (written,)}, {NAME: ("sk_test_old",)}, manager.look_up)
    return RenewedKey(Side.STRIPE, NAME, source, manager.check, manager.note, lambda: manager.now_s)


def test_a_refused_key_is_looked_up_again() -> None:
    manager = Manager()
    key = build(manager)
    manager.value = "sk_test_new"
    assert key.renew("sk_test_old")
    assert key.current() == "sk_test_new"
    assert (manager.checked, manager.replaced) == (["sk_test_new"], 1)
    # Another call that was refused with the old key finds the new one.
    assert key.renew("sk_test_old")
    assert manager.asked == 1


def test_the_manager_is_not_asked_by_every_refused_call() -> None:
    manager = Manager()
    key = build(manager)
    assert not key.renew("sk_test_old")
    assert not key.renew("sk_test_old")
    assert manager.asked == 1
    manager.now_s += ASK_INTERVAL_S
    manager.value = "sk_test_new"
    assert key.renew("sk_test_old")


def test_a_key_that_never_changes_is_not_looked_up() -> None:
    manager = Manager(value="sk_test_new")
    assert not build(manager, "env:KEY").renew("sk_test_old")
    assert manager.asked == 0


@pytest.mark.parametrize(
    ("trouble", "named"),
    [
        (CallError(Side.STRIPE, Failure.UNAUTHORISED, "api_key_expired"), True),
        (WrongAccount("this database belongs to another account"), True),
        (ConfigError(["stripe.api_key: a key starts with"]), True),
        (CallError(Side.STRIPE, Failure.UNREACHED, "no answer"), False),
        (RuntimeError("sk_test_new"), False),
    ],
)
def test_a_key_that_may_not_be_used_never_takes_the_place_of_one_that_works(trouble: Exception, named: bool) -> None:
    manager = Manager(value="sk_test_new", trouble=trouble)
    key = build(manager)
    key.source.refresh()
    key.adopt()
    assert not key.renew("sk_test_old")
    assert (key.current(), manager.replaced) == ("sk_test_old", 0)
    assert (NAME in key.source.troubles) is named
    assert "sk_test_new" not in str(key.source.troubles)
    manager.trouble = None
    key.adopt()
    assert key.current() == "sk_test_new"


def test_calls_that_are_refused_together_look_once() -> None:
    manager = Manager(value="sk_test_new")
    key, found = build(manager), list[bool]()
    barrier = threading.Barrier(8)

    def refused() -> None:
        barrier.wait(10)
        found.append(key.renew("sk_test_old"))

    run_together(refused, 8)
    assert (found, manager.asked, manager.checked) == ([True] * 8, 1, ["sk_test_new"])


def run_together(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
