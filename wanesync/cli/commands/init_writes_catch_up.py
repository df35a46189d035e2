"""``init``, ``writes``, ``catch-up``: what an operator does to a state."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wanesync.accounts import read_pins
from wanesync.cli.context import DEFAULT_FILE, AsJson, ConfigFile, opened, opened_store, read_config
from wanesync.config.example import read_example
from wanesync.config.model import Config
from wanesync.core.errors import CallError, ConfigError, VendorUnavailable
from wanesync.core.model import Side
from wanesync.store.database import Store, Tx
from wanesync.sync.runtime import Runtime
from wanesync.sync.writer import WRITES, WRITES_OFF
from wanesync.terminal import make_console, pluralize, print_json
from wanesync.wiring import build_catch_up, build_runtime

NOTES = {
    Side.HUBSPOT: "A HubSpot search lags and does not list deletions: those come by webhook or reconcile.",
    Side.STRIPE: "Stripe keeps events for 30 days and the last catch-up is older: run wanesync reconcile.",
}


class Switch(StrEnum):
    """What to do about writes."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


def init(
    *,
    hubspot: Annotated[
        bool, typer.Option("--hubspot", help="Create our properties and the purchase event in HubSpot.")
    ] = False,
    config_file: ConfigFile = None,
) -> None:
    """Check the configuration and the keys, and set up the database. Without a configuration, writes one to fill in."""
    config = _read_or_begin(config_file)
    screen = make_console()
    with opened_store(config, migrate=True) as store:
        runtime = build_runtime(config, store, tuple(Side))
        pins = read_pins(config, store)
        screen.print(f"database   {store.url_label}", markup=False)
        screen.print(f"HubSpot    portal {pins.portal}")
        screen.print(f"Stripe     account {pins.account}, {pins.mode} mode")
        if hubspot:
            made = runtime.hubspot.prepare(with_events=_wants_events(config, runtime))
            for line in made or ["nothing: all was there"]:
                screen.print(f"made       {line}", markup=False)
        _advise(store, prepared=hubspot)


def _read_or_begin(path: Path | None) -> Config:
    """The configuration; where there is none yet, a file to fill in."""
    wanted = path or DEFAULT_FILE
    try:
        return read_config(path)
    except ConfigError as error:
        if wanted.exists():
            raise
        try:
            wanted.write_text(read_example(), encoding="utf-8")
            wanted.chmod(0o600)
        except OSError as trouble:
            raise ConfigError([f"{wanted} cannot be written ({trouble.strerror})"]) from error
        advice = f"wrote {wanted}: say in it who may be created, give it its keys, then run wanesync init again"
        raise ConfigError([advice]) from error


def _wants_events(config: Config, runtime: Runtime) -> bool:
    match config.purchases.sink:
        case "auto":
            return runtime.hubspot.can_define_events()
        case sink:
            return sink == "custom_event"


def _advise(store: Store, *, prepared: bool) -> None:
    with store.reading() as tx:
        on = tx.settings.get(WRITES) == "on"
    steps = [] if prepared else ["wanesync init --hubspot       create our properties in HubSpot (needed once)"]
    steps += [
        "wanesync diff                 see what is not the same; changes nothing",
        "wanesync up                   keep both sides the same from now on",
    ]
    if not on:
        steps.append("wanesync writes on            writes are off until you say so")
    make_console().print("\nNext:\n" + "\n".join(f"  {step}" for step in steps), markup=False)


def writes(
    switch: Annotated[Switch, typer.Argument(help="on, off or status.")] = Switch.STATUS,
    *,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Allow or forbid writing to both sides. While off, everything else runs and says what it would write."""

    def keep(tx: Tx) -> int:
        if tx.settings.get(WRITES) == switch.value:
            return 0
        tx.settings.put(WRITES, switch.value)
        tx.journal.add("writes", None, "", "", {"writes": switch.value})
        return tx.jobs.make_due(WRITES_OFF) if switch is Switch.ON else 0

    with opened(config_file) as (_, store):
        woken = 0 if switch is Switch.STATUS else store.run(keep)
        with store.reading() as tx:
            now = tx.settings.get(WRITES) or "off"
    if as_json:
        print_json({"writes": now, "woken": woken})
        return
    print(f"Writes are {now}." + (f" {pluralize(woken, 'waiting job')} may go on." if woken else ""))


def catch_up(as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Look for changes whose webhook never came, on both sides. Begins where the last catch-up ended."""
    with opened(config_file) as (config, store):
        rounds = build_catch_up(build_runtime(config, store, tuple(Side), patient=True))
        caught, failed = {}, []
        for side in Side:
            try:
                caught[side] = rounds.run(side)
            except (CallError, VendorUnavailable) as error:
                failed.append(f"{side} could not be asked, and is asked again next time: {error}")
    if as_json:
        print_json(
            {
                str(side): {
                    "changed": found.changed,
                    "purchases": found.purchases,
                    "requests": found.requests,
                    "too_old": found.too_old,
                }
                for side, found in caught.items()
            }
        )
    else:
        for side, found in caught.items():
            print(
                f"{side}: {pluralize(found.changed, 'change')}, {pluralize(found.purchases, 'purchase')} not known before."
            )
            if found.too_old:
                print(f"  {NOTES[side]}")
    if failed:
        raise VendorUnavailable("\n".join(failed))
