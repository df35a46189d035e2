"""``explain``: why a person is in sync or not."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.core.model import Side
from wanesync.core.operating.explanation import Explanation
from wanesync.ops.field_map import make_rules
from wanesync.ops.people.person import explain_people
from wanesync.ops.people.search import PersonSummary
from wanesync.output import print_line
from wanesync.terminal import print_json


def explain(
    person: Annotated[
        str,
        typer.Argument(metavar="EMAIL|ID", help="An address, or the id of a contact, customer, payment or charge."),
    ],
    *,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Say why a person is in sync or not, in one sentence. Changes nothing; makes no request."""
    with open_configured(config_file) as (config, store):
        found = explain_people(store, make_rules(config), person)
    if as_json:
        print_json({"people": [explanation_as_json(*one) for one in found]})
        return
    for who, why in found:
        _show(who, why)


def explanation_as_json(who: PersonSummary, why: Explanation) -> dict[str, object]:
    """Return one person as in ``explain --json``."""
    return {
        "hubspot_id": who.contact.id if who.contact else "",
        "stripe_ids": [customer.id for customer in who.customers],
        "state": str(why.state),
        "sentence": why.sentence,
        "way_out": why.way_out,
        "more": [*why.more],
    }


def _show(who: PersonSummary, why: Explanation) -> None:
    records = [("hubspot", who.contact.id)] if who.contact else []
    records += [(str(Side.STRIPE), customer.id) for customer in who.customers]
    print_line(f"{', '.join(f'{side} {record_id}' for side, record_id in records)}: {str(why.state).replace('_', ' ')}")
    print_line(f"  {why.sentence[:1].upper()}{why.sentence[1:]}.")
    for line in why.more:
        print_line(f"  {line[:1].upper()}{line[1:]}.")
    if why.way_out:
        print_line(f"  What to do: {why.way_out}.")
