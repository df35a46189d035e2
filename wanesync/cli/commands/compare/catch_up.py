"""``catch-up``: find the changes whose webhook was missed."""

from __future__ import annotations

from wanesync.cli.commands.compare.wait_notes import showing_waits
from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.config.model import API_KEYS
from wanesync.core.errors import CallError, GuardError, SidePaused, VendorUnavailable
from wanesync.core.model import Side
from wanesync.output import print_line
from wanesync.terminal import pluralize, print_json
from wanesync.wiring import build_catch_up, build_runtime

TOO_OLD = {
    Side.HUBSPOT: "A HubSpot search lags and does not list deletions: those come by webhook or reconcile.",
    Side.STRIPE: "Stripe keeps events for 30 days and the last catch-up is older: run wanesync reconcile.",
}
"""What is printed where catch-up cannot have found everything."""


def catch_up(as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Look for changes whose webhook was missed, on both sides. Begins where the last catch-up ended."""
    with open_configured(config_file, uses=API_KEYS.values()) as (config, store), showing_waits():
        rounds = build_catch_up(build_runtime(config, store, tuple(Side), patient=True))
        caught, failed, paused = {}, [], []
        for side in Side:
            try:
                caught[side] = rounds.run(side)
            except (CallError, VendorUnavailable) as error:
                failed.append(f"{side} could not be read, and is read again next time: {_explain(error)}")
            except SidePaused as error:
                paused.append(error)
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
            changes, purchases = pluralize(found.changed, "change"), pluralize(found.purchases, "purchase")
            print_line(f"{side}: {changes}, {purchases} not known before.")
            if found.too_old:
                print_line(f"  {TOO_OLD[side]}")
    if failed:
        raise VendorUnavailable("\n".join([*failed, *map(str, paused)]))
    if paused:
        raise GuardError("\n".join(map(str, paused)))


def _explain(error: CallError | VendorUnavailable) -> str:
    return error.with_advice if isinstance(error, CallError) else str(error)
