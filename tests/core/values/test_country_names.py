"""The table of country names that is made from the CLDR."""

from __future__ import annotations

from collections import Counter

from wanesync.core.values.countries import NAMES, fold_name
from wanesync.core.values.country_names import ALPHA_3, LOCAL_NAMES

LINES = [line.split("|") for line in LOCAL_NAMES.splitlines()]


def test_every_code_is_one_of_a_country() -> None:
    assert {code for code, *_ in LINES} <= set(NAMES)
    assert {entry.split(" ")[1] for entry in ALPHA_3.split("|")} == set(NAMES)


def test_a_name_is_folded_and_leads_to_one_country() -> None:
    names = Counter(name for _, *names in LINES for name in names)
    assert [name for name, count in names.items() if count > 1 or fold_name(name) != name] == []
