"""Decisions: a file is understood whole or refused whole, whatever a spreadsheet made of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import (
    FIELDS,
    HUBSPOT,
    STEADY,
    meet,
    one_field,
    written,
)
from wanesync.core.diff.decisions import Decision, Problem, Verdict, read_decisions, rebase, refuse, winners_of
from wanesync.core.fields import Clears, Direction
from wanesync.core.model import Side

COLUMNS = ["hubspot_id", "stripe_id", "field", "decision"]
REPORT = "class,hubspot_id,stripe_id,field,hubspot,stripe,writes,to,why,kind,note,decision".split(",")


def read(*lines: str, head: str = ",".join(COLUMNS)) -> tuple[list[Decision], list[Problem]]:
    return read_decisions("\n".join([head, *lines]).encode(), FIELDS.by_name)


def reasons(*lines: str) -> list[str]:
    return [problem.reason for problem in read(*lines)[1]]


# -- the table


def test_a_line_is_a_decision() -> None:
    assert read("1,cus_1,phone,HubSpot", ",cus_2,,link  7", "3,,,exclude", "4,,,") == (
        [
            Decision(2, "1", "cus_1", "phone", Verdict.HUBSPOT),
            Decision(3, "", "cus_2", "", Verdict.LINK, "7"),
            Decision(4, "3", "", "", Verdict.EXCLUDE),
        ],
        [],
    )


def test_both_and_a_value_are_decisions_about_values() -> None:
    assert read("1,cus_1,phone,both", "1,cus_1,city,VALUE  Bad Tölz", "2,cus_2,,both") == (
        [
            Decision(2, "1", "cus_1", "phone", Verdict.BOTH),
            Decision(3, "1", "cus_1", "city", Verdict.VALUE, value="Bad Tölz"),
            Decision(4, "2", "cus_2", "", Verdict.BOTH),
        ],
        [],
    )
    assert reasons("1,cus_1,,value x", "1,cus_1,city,value", "1,,city,both") == [
        "value does not fit: the line names no field",
        "value needs the value that is right: value TEXT",
        "both does not fit: the line names one record, and no other value",
    ]


def test_a_line_after_a_cell_of_several_lines_has_its_own_number() -> None:
    decisions, _ = read('1,cus_1,phone,"",stripe', head="hubspot_id,stripe_id,field,note,decision")
    assert [d.line for d in decisions] == [2]
    decisions, _ = read('1,cus_1,phone,"a\nb",', "2,,,,skip", head="hubspot_id,stripe_id,field,note,decision")
    assert [d.line for d in decisions] == [4]


@given(
    order=st.permutations(REPORT),
    delimiter=st.sampled_from(",;"),
    mark=st.sampled_from(["", "\ufeff"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    rows=st.lists(
        st.tuples(
            st.text("0123456789", min_size=1, max_size=4),
            st.sampled_from(sorted(FIELDS.by_name)),
            st.sampled_from(["hubspot", "stripe", ""]),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")),
        ),
        max_size=6,
        unique_by=lambda row: row[0],
    ),
)
@STEADY
def test_any_spreadsheet_says_the_same(
    order: Sequence[str],
    delimiter: str,
    mark: str,
    ending: str,
    rows: Sequence[tuple[str, str, str, str]],
) -> None:
    out = io.StringIO(newline="")
    table = csv.writer(out, delimiter=delimiter, lineterminator=ending)
    table.writerow(order)
    for record_id, name, decision, value in rows:
        cells = {"hubspot_id": record_id, "stripe_id": f"cus_{record_id}", "field": name, "decision": decision}
        table.writerow([cells.get(column, value) for column in order])
    decisions, problems = read_decisions((mark + out.getvalue()).encode(), FIELDS.by_name)
    assert problems == []
    assert [(d.hubspot_id, d.field, str(d.verdict)) for d in decisions] == [row[:3] for row in rows if row[2]]


@given(st.binary(max_size=300))
@STEADY
def test_nonsense_is_refused_or_decides_nothing(data: bytes) -> None:
    decisions, problems = read_decisions(data, FIELDS.by_name)
    assert problems
    assert decisions == []


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
@STEADY
def test_an_unknown_decision_is_refused_and_never_repeated(word: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([COLUMNS, ["1", "", "", f"zz{word}"]])
    decisions, problems = read_decisions(out.getvalue().encode(), FIELDS.by_name)
    assert (decisions, [p.line for p in problems]) == ([], [2])
    assert "zz" not in str(problems[0])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n\n", "missing: hubspot_id"),
        (b"hubspot_id,stripe_id,field\n", "missing: decision"),
        (b"hubspot_id,stripe_id,field,decision,decision\n", "named twice: decision"),
        (b"hubspot_id,stripe_id,field,decision\n1,,skip\n", "3 cells"),
        (b'hubspot_id,stripe_id,field,decision\n1,,"phone,skip\n', "quotation mark"),
        ("hubspot_id,stripe_id,field,decision\n1,,,skïp\n".encode("latin-1"), "not UTF-8"),
        ("hubspot_id,stripe_id,field,decision\n1,,,skip\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_file_that_is_no_such_table(data: bytes, reason: str) -> None:
    decisions, (problem,) = read_decisions(data, FIELDS.by_name)
    assert decisions == []
    assert reason in problem.reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",,,skip", "names no record"),
        ("1,cus_1,shoe,stripe", "not mapped"),
        ("1,,,link", "needs the id"),
        ("1,cus_1,,link 7", "two records"),
        ("1,cus_1,,create", "two records"),
        ("1,,phone,stripe", "one record"),
        ("1,,,link 7 8", "none of"),
        ("1,,,skip it", "none of"),
    ],
)
def test_a_decision_that_does_not_fit_its_line(line: str, reason: str) -> None:
    (said,) = reasons(line)
    assert reason in said


def test_a_field_that_flows_one_way_has_one_winner() -> None:
    fields = one_field(direction=Direction.TO_STRIPE).by_name
    text = "hubspot_id,stripe_id,field,decision\n1,cus_1,city,"
    assert not read_decisions(f"{text}hubspot".encode(), fields)[1]
    assert "not written to hubspot" in read_decisions(f"{text}stripe".encode(), fields)[1][0].reason
    assert winners_of([Decision(2, "1", "cus_1", "", Verdict.STRIPE)], fields) == {}


# -- contradictions


@pytest.mark.parametrize(
    "lines",
    [
        ("1,cus_1,phone,hubspot", "1,cus_1,phone,stripe"),
        ("1,cus_1,,hubspot", "1,cus_1,phone,stripe"),
        ("1,cus_1,phone,stripe", "1,cus_1,,hubspot"),
        ("1,cus_1,phone,stripe", "1,cus_1,city,skip"),
        ("1,cus_1,,exclude", "1,cus_1,phone,stripe"),
        ("1,cus_1,phone,both", "1,cus_1,phone,stripe"),
        ("1,cus_1,phone,value 1", "1,cus_1,phone,value 2"),
        ("1,,,create", "1,,,exclude"),
        ("1,,,link cus_1", "2,,,link cus_1"),
        ("1,,,link cus_1", ",cus_1,,create"),
    ],
)
def test_what_contradicts_is_refused(lines: tuple[str, str]) -> None:
    assert reasons(*lines)[:1] == ["it contradicts line 2"]


@pytest.mark.parametrize(
    "lines",
    [
        ("1,cus_1,phone,hubspot", "1,cus_1,city,stripe"),
        ("1,cus_1,phone,hubspot", "1,cus_1,phone,hubspot"),
        ("1,,email,create", "1,,name,create"),
        ("1,cus_1,phone,stripe", "1,cus_2,,exclude"),
        ("1,,,link cus_1", "1,,,link cus_2"),
        ("1,,,link cus_1", ",cus_1,,link 1"),
    ],
)
def test_what_can_be_done_together_is_no_contradiction(lines: tuple[str, str]) -> None:
    assert reasons(*lines) == []


def test_the_error_names_every_line_and_stays_readable() -> None:
    error = refuse([Problem(line, "why") for line in range(300, 0, -1)])
    assert error.problems[0] == "line 1: why"
    assert "and 100 more lines" in error.problems
    assert "no decision was carried out" in error.problems[-1]


# -- what a winner comes to


@given(hubspot=st.text(max_size=5), stripe=st.text(max_size=5), winner=st.sampled_from(Side))
@STEADY
def test_the_winner_flows_whatever_both_hold(hubspot: str, stripe: str, winner: Side) -> None:
    fields = one_field(clears=Clears.BOTH)
    merged = meet(hubspot, stripe, rebase(winner, hubspot, stripe), fields)
    spec = fields.by_name["city"]
    source, target = (hubspot, stripe) if winner is HUBSPOT else (stripe, hubspot)
    converted = spec.convert(winner.other, source, target)
    if spec.agree(hubspot, stripe) or converted == target:
        assert not written(merged, winner.other)
    else:
        assert written(merged, winner.other) == {"city": converted}
    assert not written(merged, winner)


def test_the_key_of_a_decision_is_its_contact_s_where_one_is_named() -> None:
    assert Decision(2, "1", "cus_1", "", Verdict.SKIP).key == "contact:1"
    assert Decision(2, "", "cus_1", "", Verdict.SKIP).key == "customer:cus_1"
    assert winners_of([Decision(2, "1", "cus_1", "", Verdict.SKIP)], FIELDS.by_name) == {}
