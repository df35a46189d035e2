"""``link`` and ``unlink``: an operator says which contact and which customer are one person."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, DryRun, ShowValues, Yes, open_configured
from wanesync.cli.operator import find_operator
from wanesync.cli.reports.differences import make_value_formatter
from wanesync.core.errors import ConfigError
from wanesync.ops.people.links import AmbiguousRecord, Linker, LinkPreview, list_ambiguous
from wanesync.output import print_line
from wanesync.terminal import make_table, make_wide_console, pluralize, print_json, print_rows
from wanesync.wiring import build_decision_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wanesync.cli.reports.differences import ValueFormatter

MAX_CANDIDATES = 6
"""Candidates of one record on the screen; JSON has all of them."""


def link(
    contact: Annotated[
        str | None, typer.Argument(metavar="CONTACT", help="The contact's id; left out: list ambiguous records.")
    ] = None,
    customer: Annotated[str | None, typer.Argument(metavar="CUSTOMER", help="The customer's id.")] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="List at most so many.")] = 50,
    yes: Yes = False,
    dry_run: DryRun = False,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Link a contact and a customer, or list records that several match. Asks for confirmation.

    Blanks are filled from the other side, different values are both kept and listed as conflicts.
    """
    if contact is None:
        with open_configured(config_file) as (_, store):
            found, total, _ = list_ambiguous(store, limit)
        _show_ambiguous(found, total, as_json=as_json)
        return
    if customer is None:
        raise ConfigError(["link: name both records: wanesync link CONTACT CUSTOMER"])
    with open_configured(config_file) as (config, store):
        linker = Linker(build_decision_runtime(config, store), find_operator())
        preview = linker.preview_link(contact, customer)
        if preview.refused:
            raise ConfigError([f"link: {preview.refused}"])
        if not as_json:
            _show_preview(preview, make_value_formatter(show_values))
        if not (dry_run or preview.already):
            _confirm(f"Link contact {contact} and customer {customer}?", yes=yes)
            linker.link(contact, customer)
    if as_json:
        done = {"linked": not dry_run and not preview.already} | ({"dry_run": True} if dry_run else {})
        print_json(done | preview_as_json(preview, make_value_formatter(show_values)))
    elif preview.already:
        print_line("They are linked already.")
    else:
        print_line("Nothing was changed." if dry_run else "Linked; workers write what follows from it.")


def unlink(
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="The contact's id.")],
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.")],
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """End the link of a contact and a customer for good. Asks for confirmation.

    Nothing is written for it, unless another customer of the contact becomes its primary one: what is written then is
    shown. They are not linked again automatically, and no other record is created for either; wanesync link undoes it.
    """
    with open_configured(config_file) as (config, store):
        linker = Linker(build_decision_runtime(config, store), find_operator())
        preview = linker.preview_unlink(contact, customer)
        if preview.refused:
            raise ConfigError([f"unlink: {preview.refused}"])
        if preview.new_primary and not as_json:
            print_line(
                f"Customer {preview.new_primary} becomes the contact's primary customer; no blank of it is filled."
            )
            _show_preview(preview, make_value_formatter(show_values))
        if not (dry_run or preview.already):
            _confirm(f"Unlink contact {contact} and customer {customer}? Nothing flows between them then.", yes=yes)
            linker.unlink(contact, customer)
    if as_json:
        done = {"unlinked": not dry_run and not preview.already} | ({"dry_run": True} if dry_run else {})
        found = preview_as_json(preview, make_value_formatter(show_values))
        del found["second"]
        print_json(done | found | {"new_primary": preview.new_primary})
    elif preview.already:
        print_line("They are unlinked already.")
    elif dry_run:
        print_line("They would be unlinked; nothing was changed.")
    else:
        print_line("Unlinked: nothing flows between the two any more. wanesync link undoes it.")


def _confirm(question: str, *, yes: bool) -> None:
    """Require a confirmation. Raises ConfigError where there is no terminal to answer on."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError([f"{question} There is no terminal to answer on: confirm it with --yes"])
    typer.confirm(question, abort=True)


def preview_as_json(preview: LinkPreview, show: ValueFormatter) -> dict[str, object]:
    """Return what linking does as in ``link --json``."""
    return {
        "hubspot_id": preview.contact_id,
        "stripe_id": preview.customer_id,
        "already": preview.already,
        "second": preview.second,
        "writes": [
            {"field": name, "side": str(side), "from": show(before), "to": show(after)}
            for name, side, before, after in preview.written
        ],
        "differ": [*preview.kept_apart],
    }


def _show_preview(preview: LinkPreview, show: ValueFormatter) -> None:
    screen = make_wide_console()
    rows = [(name, str(side), show(a) or "blank", show(b) or "blank") for name, side, a, b in preview.written]
    print_rows(screen, make_table("Field", "Written to", "Holds now", "Gets"), rows)
    if preview.second:
        screen.print("The contact keeps its primary customer: only purchases flow from this one.")
    if preview.kept_apart:
        names = ", ".join(preview.kept_apart)
        screen.print(f"Different values, both kept and listed as conflicts: {names}.")


def ambiguous_as_json(one: AmbiguousRecord) -> dict[str, object]:
    """Return an ambiguous record as in ``link --json``."""
    return {
        "side": str(one.stored.side),
        "id": one.stored.id,
        "reason": str(one.stored.note or ""),
        "candidates": [
            {"side": str(each.side), "id": each.id, "linked_with": one.linked.get((each.side, each.id), "")}
            for each in one.candidates
        ],
        "rivals": [each.id for each in one.rivals],
    }


def _show_ambiguous(found: Sequence[AmbiguousRecord], total: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"total": total, "ambiguous": [ambiguous_as_json(one) for one in found]})
        return
    rows = []
    for one in found:
        names = [
            each.id + (" (linked)" if (each.side, each.id) in one.linked else "")
            for each in one.candidates[:MAX_CANDIDATES]
        ]
        more = [f"and {len(one.candidates) - MAX_CANDIDATES} more"] if len(one.candidates) > MAX_CANDIDATES else []
        rows.append((f"{one.stored.side} {one.stored.id}", str(one.stored.note or ""), ", ".join([*names, *more])))
    print_rows(make_wide_console(), make_table("#Record", "Why", "May belong to"), rows)
    shown = f"{len(found):,} of " if len(found) != total else ""
    print_line(f"{shown}{pluralize(total, 'ambiguous record')}." if total else "No ambiguous records.")
    if total:
        print_line("Link the right two with: wanesync link CONTACT CUSTOMER")
