"""Country codes and names."""

from __future__ import annotations

import re

import pytest

from wanesync.core.countries import CODES, NAMES


def test_a_country_code_is_two_small_letters() -> None:
    assert all(re.fullmatch("[a-z]{2}", code) for code in CODES.values())
    assert set(CODES.values()) == set(NAMES)


def test_every_name_leads_to_its_code() -> None:
    assert all(CODES[name.casefold()] == code for code, name in NAMES.items())
    assert all(CODES[code] == code for code in NAMES)


@pytest.mark.parametrize(("name", "code"), [("uk", "gb"), ("usa", "us"), ("österreich", "at"), ("czechia", "cz")])
def test_a_name_in_common_use_leads_to_a_code(name: str, code: str) -> None:
    assert CODES[name] == code


def test_no_two_countries_share_a_name() -> None:
    assert len({name.casefold() for name in NAMES.values()}) == len(NAMES) == 249


def test_a_name_is_looked_up_in_lower_case() -> None:
    assert all(name == name.casefold() for name in CODES)
