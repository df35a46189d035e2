"""Country codes and names."""

from __future__ import annotations

import re

import pytest

from wanesync.core.values.countries import NAMES, find_code, fold_name


def test_every_name_and_code_leads_to_its_code() -> None:
    assert all(find_code(name) == code for code, name in NAMES.items())
    assert all(find_code(code) == find_code(code.upper()) == code for code in NAMES)
    assert all(re.fullmatch("[a-z]{2}", code) for code in NAMES)


def test_no_two_countries_share_a_name() -> None:
    assert len({fold_name(name) for name in NAMES.values()}) == len(NAMES) == 250


@pytest.mark.case(22)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("España", "es"), ("Italia", "it"), ("U.S.", "us"), ("DEU", "de"), ("Korea, Republic of", "kr"),
        ("Cote d'Ivoire", "ci"), ("Côte d\u2019Ivoire", "ci"),
        ("uk", "gb"), ("USA", "us"), ("U. S. A.", "us"), ("ÖSTERREICH", "at"), ("Czechia", "cz"), ("Česko", "cz"),
        ("the Netherlands", "nl"), ("Pays-Bas", "nl"), ("Holland", "nl"), ("Deutschland", "de"), ("ALMANYA", "de"),
        ("Bundesrepublik Deutschland", "de"), ("Allemagne", "de"), ("日本", "jp"), ("Россия", "ru"), ("Ελλάδα", "gr"),
        ("Russian Federation", "ru"), ("TÜRKİYE", "tr"), ("Turkiye", "tr"), ("Suisse", "ch"), ("België", "be"),
        ("Korea, Democratic People's Republic of", "kp"), ("Korea (South)", "kr"), ("대한민국", "kr"),
        ("Congo, The Democratic Republic of the", "cd"), ("Republic of the Congo", "cg"), ("Congo", "cg"),
        ("Tanzania, United Republic of", "tz"), ("Micronesia, Federated States of", "fm"), ("St. Lucia", "lc"),
        ("Virgin Islands, British", "vg"), ("Virgin Islands, U.S.", "vi"), ("Bosnia & Herzegovina", "ba"),
        ("Republic of France", "fr"), ("Germany (DE)", "de"), ("Iran (Islamic Republic of)", "ir"),
        ("Egypt, Arab Rep.", "eg"),
        ("Korea, Dem. People's Rep.", "kp"), ("Congo, Rep.", "cg"), ("Bahamas, The", "bs"),
        ("Macedonia (FYROM)", "mk"), ("Viet Nam", "vn"), ("Kosovo", "xk"),
        ("\U0001f1e9\U0001f1ea", "de"), ("\uff24\uff25", "de"), ("\u200eFrance\ufeff", "fr"),
        ("Co\u0302te d'Ivoire", "ci"),
        ("GER", "de"), ("D", "de"), ("A", "at"), ("SUI", "ch"), ("NED", "nl"), ("SLO", "si"), ("ENG", "gb"),
        ("America", "us"), ("Amerika", "us"), ("the States", "us"), ("U.A.E.", "ae"),
        ("Oesterreich", "at"), ("OESTERREICH", "at"), ("Daenemark", "dk"), ("Tuerkei", "tr"), ("Suedafrika", "za"),
        ("Rumaenien", "ro"), ("Aegypten", "eg"), ("Vereinigtes Koenigreich", "gb"), ("Elfenbeinkueste", "ci"),
        ("Republik Oesterreich", "at"), ("Faeroe Islands", "fo"), ("Germany, DE", "de"), ("Weißrussland", "by"),
        ("Tschechische Republik", "cz"),
        ("West Germany", "de"), ("GDR", "de"), ("Ceylon", "lk"), ("Persia", "ir"), ("Siam", "th"), ("Rhodesia", "zw"),
        ("Upper Volta", "bf"), ("Formosa", "tw"), ("Chinese Taipei", "tw"), ("США", "us"),
        ("EUA", "us"), ("Российская Федерация", "ru"), ("香港", "hk"), ("Dubai", "ae"), ("السعودية", "sa"),
        ("Antigua", "ag"), ("BVI", "vg"), ("DE-Germany", "de"), ("GB-ENG", "gb"), ("France\uffff", "fr"),
    ],
)  # fmt: skip
def test_a_country_is_known_by_its_codes_and_its_names(name: str, code: str) -> None:
    assert find_code(name) == code


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Freedonia",
        "n/a",
        "n.a.",
        "-",
        "XX",
        "Korea",
        "Republic of China",
        "State of Georgia",
        "California",
        "Georgia (USA)",
        "Atlanta, Georgia",
        "Republic of China (Taiwan)",
        "CHI",
        "US-CA",
        "Soviet Union",
        "Yugoslavia",
        "Czechoslovakia",
        "Netherlands Antilles",
        "FL",
        "X",
        "South America",
        "Berlin, DE",
        "Georgia, USA",
    ],
)
def test_what_may_be_another_country_or_none_is_not_known(name: str) -> None:
    assert find_code(name) == ""
