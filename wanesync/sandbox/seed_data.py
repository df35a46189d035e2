"""Generated people, the same for the same random seed, created on both sides before anything is synced.

Every e-mail address is at an ``example`` domain (RFC 2606) and every North American number is in the range reserved
for fiction, so no real person is meant.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wanesync.sandbox.stand_in import Side, StandIn

DAY_MS = 86_400_000

# First name, last name, local part of the e-mail address.
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
# City, state, postal code, country as HubSpot users write it, country code, language on each side.
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
# Templates for four digits: international, national and unusual ways to write a number.
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
class SeedOptions:
    """How many records to create: ``overlap`` people are on both sides and count in both numbers."""

    contacts: int = 0
    customers: int = 0
    overlap: int = 0
    random_seed: int = 1

    def __post_init__(self) -> None:
        """Refuse impossible numbers (ValueError)."""
        if min(self.contacts, self.customers, self.overlap) < 0:
            raise ValueError("contacts, customers and overlap must be 0 or more")
        if self.overlap > min(self.contacts, self.customers):
            raise ValueError(
                f"overlap ({self.overlap}) cannot be above contacts ({self.contacts}) or customers ({self.customers})"
            )


@dataclass(frozen=True, slots=True)
class FakePerson:
    """One generated person; a blank value is "". ``business``: the customer has the company as its name."""

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
        """The HubSpot properties, without blank ones."""
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
        """The Stripe attributes by path, without blank ones."""
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
class SeededIds:
    """The ids of what was created. ``pairs``: (contact, customer) of one person.

    ``without_email``: contacts that have none. ``same_email``: customers that share one e-mail address.
    """

    pairs: list[tuple[str, str]] = field(default_factory=list)
    contacts: list[str] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)
    without_email: list[str] = field(default_factory=list)
    same_email: list[str] = field(default_factory=list)


def make_person(number: int, rng: random.Random) -> FakePerson:
    """Make the person with this number; the number makes the e-mail address unique."""
    first, last, handle = _NAMES[(number + rng.randrange(3)) % len(_NAMES)]
    city, state, postal_code, country, code, language, locale = rng.choice(_PLACES)
    company = rng.choice(_COMPANIES) if rng.random() < 0.4 else ""
    return FakePerson(
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


def seed_records(stand_ins: Mapping[str, StandIn], options: SeedOptions, now_ms: int) -> SeededIds:
    """Create the records with edits by a user, spread over the last 90 days up to an hour ago.

    No webhooks are sent: that needs a target, which is set afterwards.
    """
    rng = random.Random(f"people {options.random_seed}")  # noqa: S311 - made-up people, no secrets
    seeded = SeededIds()
    contacts = _Seeder(stand_ins[Side.HUBSPOT], options.contacts, now_ms)
    customers = _Seeder(stand_ins[Side.STRIPE], options.customers, now_ms)
    for number in range(options.overlap):
        here, there = _vary(number, make_person(number, rng))
        seeded.pairs.append((contacts.create(here.contact()), customers.create(there.customer())))
    only = options.contacts - options.overlap
    for position in range(only):
        person = _unusual_contact(position, make_person(options.overlap + position, rng))
        seeded.contacts.append(contacts.create(person.contact()))
        if not person.email:
            seeded.without_email.append(seeded.contacts[-1])
    _create_customers(options, customers, seeded, rng)
    return seeded


def _create_customers(options: SeedOptions, customers: _Seeder, seeded: SeededIds, rng: random.Random) -> None:
    """Create the customers without a contact; the last two share one e-mail address in different case."""
    only = options.customers - options.overlap
    persons = [make_person(options.contacts + position, rng) for position in range(only)]
    if only > 1:
        persons[-1] = replace(persons[-1], email=persons[-2].email.upper())
    seeded.customers.extend(customers.create(person.customer()) for person in persons)
    seeded.same_email.extend(seeded.customers[-2:] if only > 1 else ())


class _Seeder:
    """Creates records on one side at evenly spaced times, oldest first."""

    def __init__(self, stand_in: StandIn, count: int, now_ms: int) -> None:
        self._stand_in = stand_in
        self._step_ms = 90 * DAY_MS // max(count, 1)
        self._at_ms = now_ms - 3_600_000 - self._step_ms * count

    def create(self, values: Mapping[str, str]) -> str:
        """Create one record: its id."""
        self._at_ms += self._step_ms
        return self._stand_in.edit("create", None, values, self._at_ms)


def _vary(number: int, person: FakePerson) -> tuple[FakePerson, FakePerson]:
    """One person as the two sides hold them: written differently, with differing and blank fields."""
    here, there = person, person
    if number % 3 == 0:
        there = replace(there, email=there.email.title() if number % 2 else there.email.upper())
    if number % 7 == 3:
        # Entered with surrounding blanks, which HubSpot trims and Stripe would refuse.
        here = replace(here, email=f" {here.email.upper()} ")
    if number % 5 == 1:
        there = replace(there, city="Oldtown", street="1 Former Address")
    if number % 5 == 3:
        there = replace(there, last=f"{person.last}-Smith", business=False)
    if number % 4 == 1:
        there = replace(there, phone="", locale="")
    if number % 4 == 3:
        here = replace(here, phone="", company="", language="")
    return here, there


def _unusual_contact(position: int, person: FakePerson) -> FakePerson:
    """Some contacts have no e-mail, some only a company; the first has a phone number too long for Stripe."""
    if position == 0:
        return replace(person, phone=_LONG_PHONE.format(position))
    if position % 25 == 1:
        return replace(person, email="")
    if position % 25 == 2:
        return replace(person, first="", last="", company=person.company or _COMPANIES[0])
    return person
