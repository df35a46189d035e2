"""The regular refresh: it reads again when it is due, and stores what is wrong once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tests.support.lanes import start_processes
from wanesync.config.secret_source import SecretSource
from wanesync.core.errors import ConfigError
from wanesync.ops.alarms import read_alarms
from wanesync.ops.secret_refresh import SecretRefresh
from wanesync.store import Store

KEY = "stripe.api_key"


@dataclass
class Played:
    """A manager and a clock."""

    value: str = "sk_test_one"
    trouble: str = ""
    asked: int = 0
    now_s: float = 0.0
    heard: list[str] = field(default_factory=list)

    def look_up(self, _key: str, _text: str) -> list[str]:
        self.asked += 1
        if self.trouble:
            raise ConfigError([self.trouble])
        return [self.value]


def build(played: Played, store: Store | None, interval_s: float, written: str = "file:key") -> SecretRefresh:
    source = SecretSource({KEY: (written,)}, {KEY: ("sk_test_one",)}, played.look_up)
    source.listeners.append(lambda: played.heard.append(source.current(KEY)[0]))
    return SecretRefresh(source, interval_s, threading.Event(), store, "worker 1", lambda: played.now_s)


def test_secrets_are_read_again_when_it_is_due(store: Store) -> None:
    played = Played()
    refresh = build(played, store, 300)
    refresh.run_round()
    assert played.asked == 0
    played.now_s, played.value = 300, "sk_test_two"
    refresh.run_round()
    refresh.run_round()
    assert (played.asked, played.heard) == (1, ["sk_test_two"])


def test_no_refresh_is_never_due(store: Store) -> None:
    played = Played(now_s=1e6)
    refresh = build(played, store, 0)
    played.now_s = 1e9
    refresh.run_round()
    assert played.asked == 0


def test_what_is_wrong_raises_an_alarm_until_it_is_right(store: Store) -> None:
    played = Played(trouble="file:key is empty: it must hold the value")
    refresh = build(played, store, 10)
    played.now_s = 10
    refresh.run_round()
    start_processes(store)
    (alarm,) = read_alarms(store)
    assert alarm.startswith(f"{KEY} cannot be read again")
    assert alarm.endswith("the old value stays: file:key is empty: it must hold the value")
    assert refresh.source.current(KEY) == ("sk_test_one",)
    played.now_s, played.trouble = 20, ""
    refresh.run_round()
    assert read_alarms(store) == []


def test_a_process_whose_secrets_never_change_needs_no_thread(store: Store) -> None:
    played = Played(now_s=1_000)
    refresh = build(played, store, 10, "env:KEY")
    refresh.run()
    assert (played.asked, refresh.stopping.is_set()) == (0, False), "it returned by itself"


def test_a_process_without_a_database_goes_on_as_well() -> None:
    played = Played(trouble="file:key is empty: it must hold the value")
    refresh = build(played, None, 10)
    for now_s in (10, 20):
        played.now_s = now_s
        refresh.run_round()
    assert (played.asked, refresh.source.current(KEY)) == (2, ("sk_test_one",))
