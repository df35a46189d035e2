"""Names of people and businesses: a full name as first and last name, without a guess (docs/correctness.md#names)."""

from __future__ import annotations

import re
import unicodedata

from wanesync.core.values.characters import remove_invisible

LEGAL_FORMS = frozenset(
    "gmbh mbh ug ohg kgaa gbr mbb partg inc incorporated llc pllc ltd limited corp corporation plc llp lllp sas sasu "
    "sarl eurl srl spa snc sagl bvba cvba vof asbl vzw oyj aps a/s ehf pty pte pvt bhd tbk sro spol kft zrt nyrt eood "
    "ood ltda lda eireli fze fzco fz-llc wll saoc jsc ojsc pjsc sti sirketi genossenschaft gesellschaft ооо ао зао пао "
    "оао еоод оод επε ικε".split()
)
"""Words that only businesses have in their name, without dots, accents and case."""
DOTTED_LEGAL_FORMS = frozenset("e.v. a.g. k.g. s.a. s.l. s.l.u. b.v. n.v. k.k. d.o.o. z.o.o. q.s.c. a.ş. α.ε.".split())
"""Legal forms that may be a name without their dots; in any case."""
_LOWER_LEGAL_FORMS = frozenset("a.s. d.d. hf. e.K. eG eK eV".split())
"""Legal forms that are initials of people in another case."""
SHORT_LEGAL_FORMS = frozenset(
    "AG KG SE EV SA SL SLU BV NV AB AS ASA OY Oy OÜ LP Co Co. KK GK UAB SIA SCI SCS SNC ΑΕ".split()
)
"""Legal forms that are also parts of people's names: they count only as they are written here, after another word."""
AMBIGUOUS_LEGAL_FORMS = frozenset("SA SL AB AS SE LP Co Co. EV".split())
"""Of these, those that follow a given name as a family name or as initials: Ann Co, Maria AB."""
GIVEN_NAMES = frozenset(
    "ada adam ahmed alan albert alex alexander alexandra ali alice amanda amy ana anders andrea andreas andrew angela "
    "ann anna anne anton antonio ben benjamin bernd birgit bjorn brian bruno camila carl carla carlos carmen carol "
    "caroline catherine cecilia charles charlotte chen chloe chris christian christina christine christopher claire "
    "clara claudia daniel daniela david deborah dennis diana diego dieter dirk dmitri donald edward elena eleni "
    "elisabeth elizabeth ella ellen emil emily emma eric erik erika eva fatima felix fernando florian francesca "
    "francesco francisco frank frida gabriel george gerd giovanni giulia giuseppe grace greta gunnar hanna hannah "
    "hans harald heike heinz helen helena helmut henrik henry hugo ibrahim inga ingrid irene isabel isabella ivan "
    "jack jacob james jan jane jean jennifer jens jessica joan joe johan johanna johannes john jorge jose josef "
    "joseph juan juana julia julian julie karen karin karl kate katharina katherine kathrin kenneth kevin kim klaus "
    "kurt lars laura lea lee lena leo leon lily linda lisa lucas lucia luis luisa lukas maja manuel marco margaret "
    "maria mariana marie mario mark markus marta martha martin martina mary mateo matteo matthew max maya mei michael "
    "michel michelle miguel mohamed mohammed monica monika nancy natalia nicolas nicole nils nina noah olaf olga "
    "oliver olivia omar oscar otto pablo patricia patrick paul paula pedro peter petra philip philipp pierre rachel "
    "rafael ralf ramon rebecca renate richard rita robert roberto rolf rosa ruth ryan sabine samuel sandra sara sarah "
    "sebastian sergei silvia simon sofia sonia sophia sophie stefan stefanie stephan stephen steven susan susanne "
    "sven svetlana sylvia tanja teresa thomas tim tina tom tomas ulrich ursula uwe valentina vera victor victoria "
    "vincent walter werner william wolfgang yuki yusuf".split()
)
"""Given names that are common in Europe and the Americas, without accents. One of them makes an ambiguous legal form a
family name; a name that is not here changes nothing else."""
BUSINESS_WORDS = frozenset(
    "foundation university bank hotel company stiftung verein university college hospital school church restaurant "
    "café studio agency group holding holdings services solutions technologies consulting".split()
)
"""Words that count as a business in front of a name, and at the end of three words or more: a Tom Bank is a person."""
FAMILY_NAMES = frozenset("bank church".split())
"""Business words that are family names as well: at the end they count only beside one of ``BUSINESS_EPITHETS``."""
BUSINESS_EPITHETS = frozenset("of the and first national community savings st st. saint holy baptist lutheran".split())
"""Words that stand in the names of banks and churches, and not in those of people."""
_SURE_BUSINESS_WORDS = frozenset("holdings solutions technologies industries enterprises".split())
"""Those that are no family name: they count at the end of two words as well."""
_FORMS_IN_FRONT = frozenset("ооо ао зао пао оао тов тоо ип фоп".split())
"""Legal forms that stand in front of a name."""
_CAPITALS_IN_FRONT = frozenset("UAB SIA OÜ".split())
"""Legal forms in front of a name that is not in capitals itself: SIA FURLER may be a person."""
_INITIALS_OR_FORMS = frozenset("PT PT. CV CV.".split())
"""Indonesian legal forms, before two words or more: PT Barnum and CV Raman are people."""
_IN_ONE_WORD = re.compile("公司|会社|會社|合同会社|주식회사|유한회사|[(（][株有주유][)）]|[㈱㈲™®]")
"""Legal forms that are written without a blank, and marks of a brand."""
_SEVERAL_WORDS = re.compile(
    r"\b(?:z o\.? ?o\b|s\.? ?[aà]\.? ?r\.? ?l\b|de (?:c\.? ?v|r\.? ?l)\b|(?:and|und|et|y|e|og|och) "
    r"(?:sons|söhne|soehne|co|partners?|fils|hijos|figli|sønner|söner|associates)\b)",
    re.IGNORECASE,
)
"""Legal forms of several words."""
_SPACED = re.compile(r"\s(?:e\. ?[VKG]\.|s\. ?r\. ?o\.|d\. ?o\. ?o\.|a\. ?s\.)(?:\s|\Z)")
"""Legal forms with blanks, which are initials of people in another case."""
_DOMAIN = re.compile(r"\w\.(?:com|net|org|io|shop|store|app|co\.uk)\Z", re.IGNORECASE)
"""A business that is called like its address: Acme.com."""
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
    has_number = any(char.isdigit() for word in words if not _ORDINAL.fullmatch(word) for char in word)
    return has_number or names_business(name)


def names_business(name: str) -> bool:
    """Return whether a name says that it is a company's: a digit alone does not, which people also append to a name."""
    if "&" in name or " + " in name or _IN_ONE_WORD.search(name) or _DOMAIN.search(name):
        return True
    words = name.replace(",", " ").split()
    if len(words) < 2:
        return False
    folded = [word.casefold() for word in words]
    is_in_front = folded[0] in _FORMS_IN_FRONT or (words[0] in _INITIALS_OR_FORMS and len(words) > 2)
    if is_in_front or (words[0] in _CAPITALS_IN_FRONT and not name.isupper()):
        return True
    if any(map(_is_legal_form, words[1:])) or _SEVERAL_WORDS.search(name) or _SPACED.search(name):
        return True
    return _has_short_form(name, words) or _has_business_word(name, folded)


def _is_legal_form(word: str) -> bool:
    folded = word.casefold()
    bare = folded.replace(".", "") if word.isascii() else _fold(word)
    return bare.strip("()") in LEGAL_FORMS or folded in DOTTED_LEGAL_FORMS or word in _LOWER_LEGAL_FORMS


def _has_short_form(name: str, words: list[str]) -> bool:
    """Return whether a legal form of few letters stands behind a name, and is not the family name of a person."""
    forms = [word for word in words[1:] if word in SHORT_LEGAL_FORMS]
    if not forms or (name.isupper() and len(words) == 2):
        return False  # JOHN AS may be a person who writes in capitals
    if not AMBIGUOUS_LEGAL_FORMS.issuperset(forms) or _fold(words[0]) not in GIVEN_NAMES:
        return True
    return len(words) > 2 and words[-1] not in {"Co", "Co."}


def _has_business_word(name: str, folded: list[str]) -> bool:
    if folded[0] in BUSINESS_WORDS and not name.split(maxsplit=1)[0].endswith(","):
        return True
    last = folded[-1]
    if last in _SURE_BUSINESS_WORDS:
        return True
    if len(folded) == 2 or last not in BUSINESS_WORDS:
        return False
    return last not in FAMILY_NAMES or not BUSINESS_EPITHETS.isdisjoint(folded[:-1])


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

    A part is known by its words, whatever their case and accents. A name that was all in one part is split anew. The
    name of a business, such as that of the person with a legal form behind it, is no person's.
    """
    if names_business(name) and not is_business(f"{first} {last}"):
        return None
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
