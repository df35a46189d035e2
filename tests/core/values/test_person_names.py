"""Names of people and businesses."""

from __future__ import annotations

import pytest

from wanesync.core.values.person_names import change_parts, is_business, split_name


def test_a_title_belongs_to_the_first_name() -> None:
    assert split_name("Prof. Dr. Ada Byron") == ("Prof. Dr. Ada", "Byron")


@pytest.mark.parametrize(
    "name",
    ["Hans M\u00fcller GmbH", "Hans M\u00fcller & S\u00f6hne", "Hans M\u00fcller AG", "GmbH Hans M\u00fcller KG"],
)
def test_the_business_of_a_person_does_not_become_part_of_the_name(name: str) -> None:
    assert change_parts(name, "Hans", "M\u00fcller") is None
    assert change_parts(name, "", "M\u00fcller") is None


def test_a_number_behind_the_name_of_a_person_is_part_of_it() -> None:
    assert change_parts("Hans M\u00fcller 2", "Hans", "M\u00fcller") == ("Hans", "M\u00fcller 2")


def test_a_contact_that_holds_the_name_of_a_business_follows_it() -> None:
    assert change_parts("Acme Holding GmbH", "", "Acme GmbH") == ("", "Acme Holding GmbH")
    assert change_parts("Hans M\u00fcller", "Hans", "M\u00fcller GmbH") == ("Hans", "M\u00fcller")


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
        "Nordwind Co",
        "Volvo AB",
        "Anna Svensson AB",
        "First National Bank",
        "Hotel Adlon",
        "PT Telkom Indonesia",
        *("Acme Kft.", "Acme Ltda.", "Acme S.à r.l.", "Acme Sàrl", "Acme sp. z o.o.", "Acme Sp. z o. o.", "Novák a.s."),
        *(
            "Novák spol. s r.o.",
            "Novák s. r. o.",
            "Acme d.d.",
            "Acme Zrt.",
            "Acme Oy",
            "UAB Acme",
            "SIA Acme",
            "Acme ehf.",
        ),
        *("Acme ЕООД", "ТОВ Ромашка", "ИП Иванов", "Acme PLLC", "Acme p.l.c.", "Acme Sdn. Bhd.", "Acme EIRELI"),
        *(
            "合同会社アクメ",
            "アクメ有限会社",
            "(주)아크메",
            "深圳市小米公司",
            "Acme S. de R.L.",
            "Acme SAS de CV",
            "Acme S.L.U.",
        ),
        *("Acme e.K.", "TSV Musterstadt e. V.", "Acme eG", "Acme A.Ş.", "Acme Ltd. Şti.", "Acme S.n.c.", "Acme EURL"),
        *("Acme ASBL", "Acme VZW", "Acme Sagl", "Acme FZE", "Acme W.L.L.", "Acme Α.Ε.", "Acme Lda.", "Acme JSC"),
        *(
            "Smith and Sons",
            "Smith + Partner",
            "Schmidt und Söhne",
            "Acme Solutions",
            "Acme Holdings",
            "Acme.com",
            "Acme™",
        ),
        "\u682a\u5f0f\u4f1a\u793e\u65e5\u7acb",
    ],
)
def test_a_business_is_known_by_its_name(name: str) -> None:
    assert is_business(name)


@pytest.mark.parametrize(
    "name",
    [
        "Ada Byron",
        "Ana Sa",
        "Tom Bank",
        "Kim Se",
        "JOHN AS",
        "Cher",
        "John Smith III",
        "Eric A. Church",
        "Maria AB",
        "Ann Co",
        "Ann Marie Co.",
        "Ana\u00efs B. Bank",
        "PT Barnum",
        "Church, Eric",
        "Jos\u00e9 SA",
        *(
            "SIA FURLER",
            "Pt. Ravi Shankar",
            "AB de Villiers",
            "Kim Doo",
            "J.R.R. Tolkien",
            "John E.K.",
            "Miguel S. A. Torres",
        ),
        *("Ortega y Gasset", "Asa Butterfield", "John Asa", "Maria de Cruz"),
    ],
)
def test_a_person_is_no_business(name: str) -> None:
    assert not is_business(name)
