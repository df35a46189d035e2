"""Names of people and businesses: a full name as first and last name, without a guess (docs/correctness.md#names)."""

from __future__ import annotations

import re
import unicodedata

from wanesync.core.characters import remove_invisible

LEGAL_FORMS = frozenset(
    "gmbh mbh ug ohg kgaa gbr e.v. inc inc. incorporated llc l.l.c. ltd ltd. limited corp corp. corporation plc llp "
    "l.l.p. a.g. k.g. s.a. sas s.a.s. sarl s.à.r.l. s.a.r.l. srl s.r.l. s.l. spa s.p.a. b.v. bvba n.v. oyj aps a/s pty "
    "pte pvt sro s.r.o. d.o.o. sp.z.o.o. z.o.o. kft k.k. ltda lda 有限公司 株式会社 (株) 주식회사 "
    "ооо ао зао пао".split()
)
"""Words that only businesses have in their name."""
SHORT_LEGAL_FORMS = frozenset("AG KG SE EV SA SL BV NV AB AS OY OÜ LP Co Co. eV eK KK GK".split())
"""Legal forms that are also parts of people's names: they count only as they are written here, after another word."""
BUSINESS_WORDS = frozenset(
    "foundation university bank hotel company stiftung verein university college hospital school church restaurant "
    "café studio agency group holding holdings services solutions technologies consulting".split()
)
"""Words that count as a business in front of a name, and at the end of three words or more: a Tom Bank is a person."""
_ORDINAL = re.compile(r"\d{1,2}(st|nd|rd|th)\.?", re.ASCII | re.IGNORECASE)
"""John Smith 3rd."""
_TITLES = frozenset(
    "dr dr. prof prof. mr mr. mrs mrs. ms ms. miss herr frau mme m. sr. sra. sir dame rev. ing. dipl.-ing. mag.".split()
)
"""They stand before the first name and belong to it."""
_PARTICLES = frozenset(
    "van von vom zu zum de da di del della des der den do dos du la le al el bin ibn ter ten".split()
)
"""A name that begins with one of these has no first name in front."""
_FAMILY_FIRST = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Kana, Han and Hangul: whether the family name stands first cannot be seen."""


def is_business(name: str) -> bool:
    """Return whether a name is a company's: a legal form, an ampersand, a digit, or a word such as Hotel."""
    words = name.replace(",", " ").split()
    if "&" in name or any(char.isdigit() for word in words if not _ORDINAL.fullmatch(word) for char in word):
        return True
    folded = [word.casefold() for word in words]
    if any(word in LEGAL_FORMS for word in folded[1:]) or any(
        form in name for form in ("有限公司", "株式会社", "주식회사")
    ):
        return True
    if folded and folded[0] in {"ооо", "ао", "зао", "пао", "pt", "cv"} and len(folded) > 1:
        return True
    if any(word in SHORT_LEGAL_FORMS for word in words[1:]):
        return not name.isupper() or len(words) > 2  # JOHN AS may be a person who writes in capitals
    return len(folded) > 1 and (folded[0] in BUSINESS_WORDS or (len(folded) > 2 and folded[-1] in BUSINESS_WORDS))


def split_name(name: str) -> tuple[str, str]:
    """Return first and last name of a full name; where the split would be a guess, all of it is the last name."""
    words = name.split()
    head = 1
    while head < len(words) and words[head - 1].casefold() in _TITLES:
        head += 1
    first, last = " ".join(words[:head]), " ".join(words[head:])
    certain = not first.endswith(",") and words[0] not in _PARTICLES and not _FAMILY_FIRST.search(name)
    if certain and not is_business(name):
        return first, last
    return "", " ".join(words)


def change_parts(name: str, first: str, last: str) -> tuple[str, str] | None:
    """Return the parts of a changed full name, by those it had before; None where that would be a guess.

    A part is known by its words, whatever their case and accents. A name that was all in one part is split anew.
    """
    words, heads, tails = name.split(), first.split(), last.split()
    if heads and len(words) > len(heads) and _same(words[: len(heads)], heads):
        return " ".join(words[: len(heads)]), " ".join(words[len(heads) :])
    if tails and len(words) > len(tails) and _same(words[-len(tails) :], tails):
        return " ".join(words[: -len(tails)]), " ".join(words[-len(tails) :])
    if not heads or not tails:
        whole = (name, "") if heads else ("", name)
        return whole if len(words) == 1 or is_business(name) else split_name(name)
    return (name, "") if _same(words, heads) else ("", name) if _same(words, tails) else None


def _same(words: list[str], others: list[str]) -> bool:
    return len(words) == len(others) and all(_fold(one) == _fold(two) for one, two in zip(words, others, strict=True))


def _fold(word: str) -> str:
    """Return a word without case, accents and dots."""
    plain = unicodedata.normalize("NFKD", remove_invisible(word))
    return "".join(char for char in plain if not unicodedata.combining(char) and char != ".").casefold() or word
