"""What an account of HubSpot that lacks something does to a first start: it is named once, and nobody is given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.core.setup.portal_checks import OWN_PROPERTIES
from wanesync.ops.alarms import read_alarms

EMAIL = """
[[field]]
name = "email"
hubspot = "email"
stripe = "email"
transform = "email"
"""
WRONG = (
    EMAIL
    + """
[[field]]
name = "title"
hubspot = "jobtitel"
stripe = "metadata.title"
[[field]]
name = "born"
hubspot = "createdate"
stripe = "metadata.born"
"""
)


@pytest.mark.case(28)
def test_init_names_mapped_properties_that_cannot_be_used(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path, more=WRONG) as stage:
        done = stage.run("init", "--hubspot")
        assert done.returncode == 2
        assert "jobtitel does not exist (did you mean jobtitle?)" in done.stderr
        assert 'createdate is read-only: give the field direction = "to_stripe"' in done.stderr


def test_fields_that_cannot_be_used_do_not_stop_a_person(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path, more=WRONG) as stage:
        stage.edit(Side.STRIPE, "create", email="ana@example.com", metadata__title="Cook", metadata__born="1")
        stage.serve(stage.start("up"))
        stage.until(lambda: stage.contact("ana@example.com"), "the contact is created")
        stage.rest()
        assert not any("dead letter" in alarm for alarm in read_alarms(stage.store))
        assert len([alarm for alarm in read_alarms(stage.store) if "is paused: HubSpot" in alarm]) == 2


def test_up_without_init_creates_nobody_until_our_properties_exist(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        properties = stage.sandbox.machines[Side.HUBSPOT].portal.properties.by_name  # type: ignore[attr-defined] # the stand-in of HubSpot
        kept = {name: properties.pop(name) for name in OWN_PROPERTIES}
        people = [f"p{number}@example.com" for number in range(11)]
        for email in people:
            stage.edit(Side.STRIPE, "create", email=email)
        running = stage.start("up")
        stage.serve(running)
        stage.until(lambda: any("init --hubspot" in alarm for alarm in read_alarms(stage.store)), "it is named")
        stage.rest()
        assert not any(stage.contact(email) for email in people)
        assert not any("dead letter" in alarm for alarm in read_alarms(stage.store))
        assert running.log_tail().count("run wanesync init --hubspot") == 1
        properties.update(kept)
        stage.until(lambda: all(stage.contact(email) for email in people), "they are created without a restart", 60)
