"""The versions of the API: every path of v3 (for associations: v4) in the spelling of the dated versions."""

from __future__ import annotations

import re

DATED = ("2026-03", "2026-09")
NAME = re.compile(r"v3|v4|\d{4}-\d{2}")


def spell(path: str) -> list[str]:
    """A path in every version that has it, the given spelling first."""
    root, number, rest = path.split("/", 2)
    if root == "crm":
        place, _, tail = rest.partition("/")
        dated = {version: [f"crm/{place}/{version}/{tail}"] for version in DATED}
        if number == "v4" and place == "objects":
            dated.pop("2026-09")  # published for other kinds of records only
    elif root == "events":
        # HubSpot publishes two spellings for 2026-09, one in its guides and one in its specification.
        dated = {version: [f"events/{version}/{rest}"] for version in DATED}
        dated["2026-09"].append(f"events/custom/2026-09/{rest}")
    else:
        dated = {version: [f"{root}/{version}/{rest}"] for version in DATED}
    return [path, *(spelling for spellings in dated.values() for spelling in spellings)]


def version_of(path: str) -> str:
    """The version that a path names; "" without one."""
    return next((part for part in path.split("/") if NAME.fullmatch(part)), "")
