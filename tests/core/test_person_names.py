"""Names of people and businesses."""

from __future__ import annotations

import pytest

from wanesync.core.person_names import change_parts, is_business, split_name


def test_a_title_belongs_to_the_first_name() -> None:
    assert split_name("Prof. Dr. Ada Byron") == ("Prof. Dr. Ada", "Byron")


def test_parts_are_known_by_their_words() -> None:
    assert change_parts("\u00c9va Nagy", "eva", "Kovacs") == ("\u00c9va", "Nagy")
    assert change_parts("Grace Hopper", "Ada", "Byron") is None


@pytest.mark.parametrize(
    "name",
    [
        "Acme 2000 GmbH",
        "Nordwind AG",
        "Acme, Inc.",
        "S\u00e3o Paulo S.A.",
        "M\u00fcller & S\u00f6hne",
        "Grand Plaza Hotel",
        "\u682a\u5f0f\u4f1a\u793e\u65e5\u7acb",
    ],
)
def test_a_business_is_known_by_its_name(name: str) -> None:
    assert is_business(name)


@pytest.mark.parametrize("name", ["Ada Byron", "Ana Sa", "Tom Bank", "Kim Se", "JOHN AS", "Cher", "John Smith III"])
def test_a_person_is_no_business(name: str) -> None:
    assert not is_business(name)
