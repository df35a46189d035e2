"""Made-up people, the same ones for the same seed, planted on both sides before anything is synced.

Every address is at an ``example`` domain (RFC 2606) and every North American number is in the range
kept free for fiction, so nobody real is meant.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wanesync.sandbox.control import Machine
from wanesync.sandbox.wire import Side

DAY_MS = 86_400_000

# First name, last name, how both are written in an address.
_NAMES = (
    ("Ana", "Ribeiro", "ana.ribeiro"),
    ("Sean", "O'Brien", "sean.obrien"),
    ("Zoë", "Müller", "zoe.mueller"),
    ("Łukasz", "Wójcik", "lukasz.wojcik"),
    ("美咲", "田中", "misaki.tanaka"),
    ("Αλέξανδρος", "Παπαδόπουλος", "alexandros.papadopoulos"),
    ("Мария", "Иванова", "maria.ivanova"),
    ("Jean-Luc", "d'Aubigné", "jeanluc.daubigne"),
    ("سارة", "حداد", "sara.haddad"),
    ("Priya", "Krishnamurthy", "priya.k"),
    ("José", "García Márquez", "jose.garcia"),
    ("Mary Ann", "van der Berg", "maryann.vanderberg"),
    ("민준", "김", "minjun.kim"),
    ("Bjørn", "Ødegård", "bjorn.odegard"),
    ("Grace", "Hopperton", "grace.hopperton"),
    ("Ngozi", "Adébáyọ̀", "ngozi.adebayo"),
    ("Emily", "Clark", "emily.clark"),
    ("Tom", "Baker", "tom.baker"),
    ("Ivy", "Stone", "ivy.stone"),
    ("Omar", "Nasser", "omar.nasser"),
)
_COMPANIES = (
    "Northwind Ltd",
    "Blue Harbour GmbH",
    "Sato & Sons K.K.",
    "Fjord Works AS",
    "O'Malley Bros. LLC",
    "Acme, Inc.",
)
# City, state, postal code, country as HubSpot people write it, country code, language on each side.
_PLACES = (
    ("Springfield", "IL", "62701", "United States", "US", "en", "en-US"),
    ("Berlin", "", "10115", "Germany", "DE", "de", "de-DE"),
    ("São Paulo", "SP", "01310-100", "Brazil", "BR", "pt-br", "pt-BR"),
    ("Lyon", "", "69001", "France", "FR", "fr", "fr"),
    ("Tokyo", "", "100-0001", "Japan", "JP", "ja", "ja-JP"),
    ("Leeds", "West Yorkshire", "LS1 4AP", "United Kingdom", "GB", "en-gb", "en-GB"),
    ("Warszawa", "", "00-001", "PL", "PL", "pl", "pl-PL"),
    ("Toronto", "ON", "M5H 2N2", "Canada", "CA", "en-ca", "en-CA"),
)
_STREETS = ("Main Street", "Elm Road", "Rue de l'Église", "Bahnhofstraße", "Harbour View", "Rua das Flores")
_DOMAINS = ("example.com", "example.org", "example.net")
# Four digits go in: international, national and odd ways to write a number.
_PHONES = (
    "+1202555{0:04d}",
    "(202) 555-{0:04d}",
    "202.555.{0:04d}",
    "+44 20 7946 {0:04d}",
    "020 7946 {0:04d}",
    "+49 (0)30 2300-{0:04d}",
    "0049 30 2300{0:04d}",
    "1-202-555-{0:04d}",
)
_LONG_PHONE = "+1 (202) 555-{0:04d} ext. 4321 (mornings)"


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many records to plant: ``overlap`` people are on both sides and count in both numbers."""

    contacts: int = 0
    customers: int = 0
    overlap: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be planted (ValueError)."""
        if min(self.contacts, self.customers, self.overlap) < 0:
            raise ValueError("contacts, customers and overlap must be 0 or more")
        if self.overlap > min(self.contacts, self.customers):
            raise ValueError(
                f"overlap ({self.overlap}) cannot be above contacts ({self.contacts}) or customers ({self.customers})"
            )


@dataclass(frozen=True, slots=True)
class Human:
    """One made-up person; blank is "". ``business``: the customer carries the company's name."""

    first: str
    last: str
    email: str
    phone: str
    company: str
    street: str
    city: str
    state: str
    postal_code: str
    country: str
    country_code: str
    language: str
    locale: str
    business: bool = False

    def contact(self) -> dict[str, str]:
        """HubSpot properties, blank ones left out."""
        values = {
            "email": self.email,
            "firstname": self.first,
            "lastname": self.last,
            "phone": self.phone,
            "company": self.company,
            "address": self.street,
            "city": self.city,
            "state": self.state,
            "zip": self.postal_code,
            "country": self.country,
            "hs_language": self.language,
        }
        return {name: value for name, value in values.items() if value}

    def customer(self) -> dict[str, str]:
        """Stripe attributes by path, blank ones left out."""
        values = {
            "email": self.email,
            "name": self.company if self.business else f"{self.first} {self.last}".strip(),
            "phone": self.phone,
            "business_name": self.company,
            "address.line1": self.street,
            "address.city": self.city,
            "address.state": self.state,
            "address.postal_code": self.postal_code,
            "address.country": self.country_code,
            "preferred_locales": self.locale,
        }
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class Planted:
    """What was planted, for checkers: ids. ``pairs``: (contact, customer) of one person.

    ``without_email``: contacts that have none. ``twins``: customers that share one e-mail.
    """

    pairs: list[tuple[str, str]] = field(default_factory=list)
    contacts: list[str] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)
    without_email: list[str] = field(default_factory=list)
    twins: list[str] = field(default_factory=list)


def invent(number: int, rng: random.Random) -> Human:
    """The person with this number; the number makes address and phone unlike everybody else's."""
    first, last, handle = _NAMES[(number + rng.randrange(3)) % len(_NAMES)]
    city, state, postal_code, country, code, language, locale = rng.choice(_PLACES)
    company = rng.choice(_COMPANIES) if rng.random() < 0.4 else ""
    return Human(
        first=first,
        last=last,
        email=f"{handle}.{number}@{rng.choice(_DOMAINS)}",
        phone=rng.choice(_PHONES).format(number % 10_000) if rng.random() < 0.8 else "",
        company=company,
        street=f"{rng.randint(1, 900)} {rng.choice(_STREETS)}" if rng.random() < 0.7 else "",
        city=city,
        state=state,
        postal_code=postal_code,
        country=country if rng.random() < 0.8 else code,
        country_code=code,
        language=language if rng.random() < 0.6 else "",
        locale=locale if rng.random() < 0.6 else "",
        business=bool(company) and rng.random() < 0.3,
    )


def seed(machines: Mapping[str, Machine], crowd: Crowd, now_ms: int) -> Planted:
    """Plant the crowd by the machines' own edits, spread over the last 90 days up to an hour ago.

    No webhooks are sent for it: that needs targets, which are set afterwards.
    """
    rng = random.Random(f"people {crowd.seed}")  # noqa: S311 - made-up people, no secrets
    planted = Planted()
    contacts = _Planter(machines[Side.HUBSPOT], crowd.contacts, now_ms)
    customers = _Planter(machines[Side.STRIPE], crowd.customers, now_ms)
    for number in range(crowd.overlap):
        here, there = _unlike(number, invent(number, rng))
        planted.pairs.append((contacts.plant(here.contact()), customers.plant(there.customer())))
    only = crowd.contacts - crowd.overlap
    for place in range(only):
        human = _odd_contact(place, invent(crowd.overlap + place, rng))
        planted.contacts.append(contacts.plant(human.contact()))
        if not human.email:
            planted.without_email.append(planted.contacts[-1])
    _plant_customers(crowd, customers, planted, rng)
    return planted


def _plant_customers(crowd: Crowd, customers: _Planter, planted: Planted, rng: random.Random) -> None:
    """The customers without a contact: the last two share one e-mail, in different case."""
    only = crowd.customers - crowd.overlap
    humans = [invent(crowd.contacts + place, rng) for place in range(only)]
    if only > 1:
        humans[-1] = replace(humans[-1], email=humans[-2].email.upper())
    planted.customers.extend(customers.plant(human.customer()) for human in humans)
    planted.twins.extend(planted.customers[-2:] if only > 1 else ())


class _Planter:
    """Plants on one side at evenly spaced times, oldest first, as a history would be."""

    def __init__(self, machine: Machine, count: int, now_ms: int) -> None:
        self._machine = machine
        self._step_ms = 90 * DAY_MS // max(count, 1)
        self._at_ms = now_ms - 3_600_000 - self._step_ms * count

    def plant(self, values: Mapping[str, str]) -> str:
        """One record: its id."""
        self._at_ms += self._step_ms
        return self._machine.edit("create", None, values, self._at_ms)


def _unlike(number: int, human: Human) -> tuple[Human, Human]:
    """One person as the two sides know them: written differently, some fields unlike, some blank."""
    here, there = human, human
    if number % 3 == 0:
        there = replace(there, email=there.email.title() if number % 2 else there.email.upper())
    if number % 7 == 3:
        # Typed with blanks around it, which HubSpot trims; Stripe would refuse them.
        here = replace(here, email=f" {here.email.upper()} ")
    if number % 5 == 1:
        there = replace(there, city="Oldtown", street="1 Former Address")
    if number % 5 == 3:
        there = replace(there, last=f"{human.last}-Smith", business=False)
    if number % 4 == 1:
        there = replace(there, phone="", locale="")
    if number % 4 == 3:
        here = replace(here, phone="", company="", language="")
    return here, there


def _odd_contact(place: int, human: Human) -> Human:
    """Some contacts have no e-mail, some only a business, the first a phone too long for Stripe."""
    if place == 0:
        return replace(human, phone=_LONG_PHONE.format(place))
    if place % 25 == 1:
        return replace(human, email="")
    if place % 25 == 2:
        return replace(human, first="", last="", company=human.company or _COMPANIES[0])
    return human
