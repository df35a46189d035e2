"""The property set on contacts that a reconcile creates, by which marketing workflows can exclude them.

Reconcile stores it for its run, the writer adds it to the creates of that run: so it has a module of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from wanesync.core.errors import ConfigError
from wanesync.core.ports import HubSpotPort
from wanesync.store.database import Tx

_MARK = re.compile(r"([a-z][a-z0-9_]*)=(.+)", re.DOTALL)


def mark_name(run_id: str) -> str:
    """The setting that keeps a run's mark."""
    return f"quiet_property:{run_id}"


def read_mark(hubspot: HubSpotPort, text: str) -> str:
    """NAME=VALUE, if the portal has that contact property; else ConfigError: HubSpot would refuse every creation."""
    found = _MARK.fullmatch(text)
    if found is None:
        raise ConfigError(
            [f"--quiet-property is NAME=VALUE with a property's internal name, not {text.partition('=')[0]}"]
        )
    if not hubspot.has_property(found[1]):
        raise ConfigError([f"--quiet-property: HubSpot has no contact property {found[1]}; create it there first"])
    return text


def find_mark(tx: Tx, run_id: str) -> Mapping[str, str]:
    """The property of a run, as it is sent; empty for most."""
    name, _, value = (tx.settings.get(mark_name(run_id)) or "").partition("=")
    return {name: value} if name else {}
