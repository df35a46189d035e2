"""What happens when the field map of a running installation is changed: nothing is overwritten and nothing cleared."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side

EMAIL = "ana@example.com"
BASE_MAP = """
[[field]]
name = "email"
hubspot = "email"
stripe = "email"
transform = "email"
[[field]]
name = "phone"
hubspot = "phone"
stripe = "phone"
"""
TITLE = """
[[field]]
name = "title"
hubspot = "jobtitle"
stripe = "metadata.title"
"""


def remap(stage: Stage, before: str, after: str) -> None:
    """The configuration now has another map."""
    text = stage.file.read_text()
    assert before in text
    stage.file.write_text(text.replace(before, after))


def restart(stage: Stage) -> None:
    """Everything is ended in order and started again."""
    for program in stage._programs:
        program.signal(signal.SIGTERM)
    for program in stage._programs:
        program.end()
    stage._programs.clear()
    stage.serve()
    stage.work()
    stage.rest()


def conflicts(stage: Stage) -> list[tuple[str, str, str]]:
    with stage.store.reading() as tx:
        return sorted((row.conflict.kind, row.conflict.field, row.conflict.value) for row in tx.conflicts.list())


@pytest.mark.case(43)
def test_a_field_that_is_added_meets_both_sides_as_on_first_contact(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path, more=BASE_MAP) as stage:
        stage.edit(Side.HUBSPOT, "create", email=EMAIL, jobtitle="Captain", phone="+493012345")
        customer = stage.edit(Side.STRIPE, "create", email=EMAIL, metadata__title="Cook", phone="+493012345")
        stage.live()
        remap(stage, BASE_MAP, BASE_MAP + TITLE)
        restart(stage)
        stage.edit(Side.STRIPE, "update", customer, phone="+493099999")
        stage.until(lambda: stage.contact(EMAIL)["phone"] == "+493099999", "the edit arrives")
        stage.until(lambda: len(conflicts(stage)) == 2, "both values are listed")
        stage.rest()
        assert stage.contact(EMAIL)["jobtitle"] == "Captain"
        assert stage.customer(EMAIL)["metadata.title"] == "Cook"
        assert conflicts(stage) == [("differ", "title", "Captain"), ("differ", "title", "Cook")]


@pytest.mark.case(44)
def test_a_field_whose_path_is_changed_clears_nothing(sqlite_url: str, tmp_path: Path) -> None:
    people = [f"p{number}@example.com" for number in range(4)]
    with Stage(sqlite_url, tmp_path, more=BASE_MAP + TITLE) as stage:
        for email in people:
            stage.edit(Side.HUBSPOT, "create", email=email, jobtitle="Captain", phone="+493012345")
            stage.edit(Side.STRIPE, "create", email=email, metadata__title="Captain", phone="+493012345")
        stage.live()
        remap(stage, "metadata.title", "metadata.job")
        restart(stage)
        for email in people:
            stage.edit(Side.STRIPE, "update", stage.customer(email)["id"], phone="+493099999")
        stage.until(lambda: all(stage.contact(email)["phone"] == "+493099999" for email in people), "they arrive")
        stage.until(lambda: all(stage.customer(e).get("metadata.job") for e in people), "the new path is filled")
        stage.rest()
        assert [stage.contact(email)["jobtitle"] for email in people] == ["Captain"] * 4
        assert [stage.customer(email)["metadata.title"] for email in people] == ["Captain"] * 4


def test_a_process_with_an_older_map_stops_and_an_operator_is_told(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path, more=BASE_MAP) as stage:
        stage.edit(Side.HUBSPOT, "create", email=EMAIL, jobtitle="Captain")
        stage.edit(Side.STRIPE, "create", email=EMAIL, metadata__title="Cook")
        stage.live()
        serving, working = stage._programs
        older = stage.file.read_text()
        remap(stage, BASE_MAP, BASE_MAP + TITLE)
        # A command that ends changes nothing under the feet of the processes that run.
        refused = stage.run("diff")
        assert refused.returncode == 2
        assert "work with another field map" in refused.stderr
        newer = stage.work()
        assert (serving.wait(), working.wait()) == (2, 2)
        assert "the field map of the database was changed" in working.log_tail()
        # A straggler whose file was not changed is refused as long as a process with the newer map runs.
        stage.file.write_text(older)
        straggler = stage.run("worker")
        assert straggler.returncode == 2
        assert "newer field map" in straggler.stderr
        assert newer.exit_code is None
