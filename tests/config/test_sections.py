"""The sections of the configuration: entries of fields, and what a retention may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import CREATE, EMAIL_FIELD, FIELD, only_problem, read
from wanesync.core.fields import Direction, FieldSpec
from wanesync.core.model import Side


class TestFields:
    def test_entries_become_the_map(self, file: Path) -> None:
        text = CREATE + EMAIL_FIELD
        text += (
            '[[field]]\nname = "name"\nhubspot = ["firstname", "lastname"]\nstripe = "name"\ntransform = "name"\n'
            '[[field]]\nname = "plan"\nhubspot = "plan__c"\nstripe = ["metadata.Plan name"]\nowner = "stripe"\n'
            'direction = "to_hubspot"\nfill_empty = false\n'
        )
        assert read(file, text).specs == (
            FieldSpec("email", ("email",), ("email",), transform="email"),
            FieldSpec("name", ("firstname", "lastname"), ("name",), transform="name"),
            FieldSpec(
                "plan", ("plan__c",), ("metadata.Plan name",), Side.STRIPE, Direction.TO_HUBSPOT, fill_empty=False
            ),
        )

    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ('name = "f1"\nhubspot = "p2"\nstripe = "metadata.k2"', "field[2].name: f1 is taken by entry number 1"),
            ('name = "f2"\nhubspot = "p1"\nstripe = "metadata.k2"', "field[2].hubspot: p1 is taken by entry number 1"),
            (
                'name = "f2"\nhubspot = "p2"\nstripe = "metadata.k1"',
                "field[2].stripe: metadata.k1 is taken by entry number 1",
            ),
            ('name = "f2"\nhubspot = "p2"\nstripe = "balance"', "field[2].stripe[1]: balance is no attribute"),
            ('name = "f2"\nhubspot = "p2"\nstripe = "metadata.a[b]"', "field[2].stripe[1]: must be metadata.KEY"),
            (
                f'name = "f2"\nhubspot = "p2"\nstripe = "metadata.{"k" * 41}"',
                "field[2].stripe[1]: must be metadata.KEY",
            ),
            ('name = "f2"\nhubspot = "p2"\nstripe = "metadata.hubspot_contact_id"', "is kept by wanesync itself"),
            ('name = "f2"\nhubspot = "stripe_customer_id"\nstripe = "phone"', "is kept by wanesync itself"),
            ('name = "stripe_customer_id"\nhubspot = "p2"\nstripe = "phone"', "name the field otherwise"),
            ('name = "f2"\nhubspot = "two words"\nstripe = "phone"', "field[2].hubspot[1]: must be the internal name"),
            ('name = "f2"\nhubspot = ["p2", "p3"]\nstripe = "phone"', "takes exactly one HubSpot property, not 2"),
            ('name = "f2"\nhubspot = "p2"\nstripe = "name"\ntransform = "name"', "takes two HubSpot properties"),
            ('name = "f2"\nhubspot = "p2"\nstripe = ["phone", "name"]', "field[2].stripe: "),
            (
                'name = "f2"\nhubspot = "p2"\nstripe = "phone"\ntransform = "shout"',
                "field[2].transform: must be one of text, ",
            ),
            ('name = "f2"\nhubspot = "p2"', "field[2].stripe: is missing"),
        ],
    )
    def test_entries_that_are_refused(self, file: Path, entry: str, expected: str) -> None:
        assert expected in only_problem(file, CREATE + FIELD.format(1) + "[[field]]\n" + entry + "\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("event_days = 34", "retention.event_days: must be greater than or equal to 35"),
        ("own_write_days = 34", "retention.own_write_days: must be greater than or equal to 35"),
        ("payload_days = 3", "retention.payload_days: must be greater than or equal to 4"),
        ("payload_days = 36", "payload_days must not be more than event_days"),
        ("done_job_days = 0", "retention.done_job_days: must be greater than or equal to 1"),
    ],
)
def test_a_retention_that_would_forget_too_soon_is_refused(file: Path, line: str, expected: str) -> None:
    assert expected in only_problem(file, f"{CREATE}[retention]\n{line}\n")
