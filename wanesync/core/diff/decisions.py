"""Decisions: what an operator wrote into the last column of a list of differences. A file is accepted or refused whole.

A decision about a field is ``hubspot`` or ``stripe`` (that side's value wins), ``both`` (both values are right: each
side keeps its own) or ``value TEXT`` (another value is written to both sides); without a field, the first three are
about every field of the pair. All others are about the record or pair of their line. A blank cell is no decision.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from wanesync.core.errors import ConfigError
from wanesync.core.fields import FieldSpec
from wanesync.core.model import BasePair, RecordRef, Side, contact_key, customer_key

COLUMNS = ("hubspot_id", "stripe_id", "field", "decision")
"""Columns a file must have; further ones are ignored."""
MAX_LISTED_PROBLEMS = 200
"""Lines an error message lists before it only counts them."""
_WORDS = "hubspot, stripe, both, value TEXT, skip, link ID, create, lift, exclude"


class Verdict(StrEnum):
    """What was decided (the words of the file)."""

    HUBSPOT = "hubspot"
    STRIPE = "stripe"
    BOTH = "both"
    """Both values are right: each side keeps its own, and nothing is written."""
    VALUE = "value"
    """A value is written to both sides: it is put on one of them first, and flows from there like an edit."""
    SKIP = "skip"
    LINK = "link"
    CREATE = "create"
    LIFT = "lift"
    """As ``create``, although the data of a person with its address were erased: a privacy deletion is lifted."""
    EXCLUDE = "exclude"

    @property
    def winner(self) -> Side | None:
        """Return the side whose value wins; None for other decisions."""
        return {Verdict.HUBSPOT: Side.HUBSPOT, Verdict.STRIPE: Side.STRIPE}.get(self)


CREATING = (Verdict.CREATE, Verdict.LIFT)
"""Decisions that create a record's counterpart."""
SETTLING = (Verdict.HUBSPOT, Verdict.STRIPE, Verdict.BOTH, Verdict.VALUE)
"""Decisions about the values of a pair."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision and its line; ``field`` "": every field, ``other_id``: the record to link with.

    ``value``: of a ``VALUE``, in the form of ``value_side``, on which it is put first; None: as a person typed it.
    ``closes``: further records of which it closes the conflicts of its field, such as a contact that was merged.
    ``seen``: the values of ``refs`` from which it was made, None if any will do.
    """

    line: int
    hubspot_id: str
    stripe_id: str
    field: str
    verdict: Verdict
    other_id: str = ""
    value: str = ""
    value_side: Side | None = None
    closes: tuple[RecordRef, ...] = ()
    seen: tuple[str, ...] | None = None

    @property
    def refs(self) -> tuple[RecordRef, ...]:
        """Return the records that its line names."""
        named = ((Side.HUBSPOT, self.hubspot_id), (Side.STRIPE, self.stripe_id))
        return tuple((side, record_id) for side, record_id in named if record_id)

    @property
    def pair(self) -> tuple[str, str]:
        """Return (contact, customer), including the one to link with."""
        return self.hubspot_id or self.other_id, self.stripe_id or self.other_id

    @property
    def key(self) -> str:
        """Return the key of its contact, or of its customer where no contact is named."""
        return contact_key(self.hubspot_id) if self.hubspot_id else customer_key(self.stripe_id)

    @property
    def target(self) -> RecordRef | None:
        """Return the record to link with; None for other decisions."""
        if self.verdict is not Verdict.LINK:
            return None
        return (Side.STRIPE if self.hubspot_id else Side.HUBSPOT), self.other_id


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Why a line cannot be carried out; it never contains a value."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def refuse(problems: Collection[Problem]) -> ConfigError:
    """Return the error that refuses a file, with every line and its reason."""
    listed = [str(problem) for problem in sorted(set(problems))]
    unlisted = len(listed) - MAX_LISTED_PROBLEMS
    more = [f"and {unlisted} more {'line' if unlisted == 1 else 'lines'}"] if unlisted > 0 else []
    return ConfigError(
        [
            *listed[:MAX_LISTED_PROBLEMS],
            *more,
            "no decision was carried out: correct the file and run the command again",
        ]
    )


def read_decisions(data: bytes, fields: Mapping[str, FieldSpec]) -> tuple[list[Decision], list[Problem]]:
    """Return the decisions of a CSV file and its problems: with any problem, none may be carried out."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return [], [Problem(line, "the file is not UTF-8: save it as CSV UTF-8")]
    decisions: list[Decision] = []
    problems: list[Problem] = []
    for line, found in _read_rows(text):
        if isinstance(found, str):
            problems.append(Problem(line, found))
            continue
        parsed = _parse_decision(line, found, fields)
        if isinstance(parsed, str):
            problems.append(Problem(line, parsed))
        elif parsed is not None:
            decisions.append(parsed)
    return decisions, problems + find_contradictions(decisions)


def _read_rows(text: str) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield (line number, cells by column, or why the line is invalid)."""
    head = text.partition("\n")[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    line = 1
    try:
        for cells in rows:
            if names is None:
                names = [cell.strip().lower() for cell in cells]
                if problem := _check_header(names):
                    yield line, problem
                    return
            elif any(cell.strip() for cell in cells):
                if len(cells) == len(names):
                    yield line, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
                else:
                    yield line, f"it has {len(cells)} cell{'' if len(cells) == 1 else 's'}, the first line {len(names)}"
            line = rows.line_num + 1
    except csv.Error:
        yield line, "from here on it is no CSV: is a quotation mark missing?"
    if names is None:
        yield line, f"the file is empty; its first line names the columns, at least {', '.join(COLUMNS)}"


def _check_header(names: Sequence[str]) -> str:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        return f"the first line names the columns, and these are missing: {', '.join(missing)}"
    twice = [name for name in COLUMNS if names.count(name) > 1]
    return f"columns named twice: {', '.join(twice)}" if twice else ""


def _parse_decision(line: int, row: Mapping[str, str], fields: Mapping[str, FieldSpec]) -> Decision | str | None:
    """Return the decision of a line, None where there is none, or why it is invalid."""
    word, _, rest = row["decision"].partition(" ")
    if not word:
        return None
    other_id, value = rest.strip(), ""
    word = word.lower()
    if word == Verdict.VALUE:
        other_id, value = "", other_id
    if word not in tuple(Verdict) or (other_id and word != Verdict.LINK) or len(other_id.split()) > 1:
        return f"the decision is none of {_WORDS}"
    decision = Decision(line, row["hubspot_id"], row["stripe_id"], row["field"], Verdict(word), other_id, value)
    return _check_line(decision, fields) or decision


def _check_line(decision: Decision, fields: Mapping[str, FieldSpec]) -> str:
    """Return what is inconsistent within the line, "" if nothing is."""
    verdict, name = decision.verdict, decision.field
    paired = len(decision.refs) == len(Side)
    checks = (
        (not decision.refs, "it names no record"),
        (name and name not in fields, "its field is not mapped"),
        (verdict is Verdict.LINK and not decision.other_id, "link needs the id of the record to link with: link ID"),
        (verdict in (Verdict.LINK, *CREATING) and paired, f"{verdict} does not fit: the line names two records"),
        (
            verdict in SETTLING and not paired,
            f"{verdict} does not fit: the line names one record, and no other value",
        ),
        (verdict is Verdict.VALUE and not name, "value does not fit: the line names no field"),
        (verdict is Verdict.VALUE and not decision.value, "value needs the value that is right: value TEXT"),
    )
    found = next((reason for failed, reason in checks if failed), "")
    if not found and verdict.winner and name and not fields[name].direction.reaches(verdict.winner.other):
        return f"{verdict} does not fit: this field is not written to {verdict.winner.other}"
    return found


# -- several decisions about one record or field


def find_contradictions(decisions: Sequence[Decision]) -> list[Problem]:
    """Return the lines that contradict an earlier line about the same record or field."""
    problems: list[Problem] = []
    winners: dict[tuple[str, str], list[Decision]] = {}
    whole: dict[RecordRef, Decision] = {}
    for decision in decisions:
        if decision.verdict in SETTLING:
            others = winners.setdefault(decision.pair, [])
            problems += [_contradiction(decision, other) for other in others if _contradict(decision, other)][:1]
            others.append(decision)
        for ref in _records_of(decision):
            earlier = whole.setdefault(ref, decision)
            if not _go_together(earlier, decision):
                problems.append(_contradiction(decision, earlier))
    return problems


def _records_of(decision: Decision) -> tuple[RecordRef, ...]:
    target = decision.target
    return (*decision.refs, target) if target else decision.refs


def _contradict(one: Decision, two: Decision) -> bool:
    """Return whether a field is decided in two ways; a line without a field is about every field."""
    return (one.verdict, one.value) != (two.verdict, two.value) and (
        one.field == two.field or not one.field or not two.field
    )


def _go_together(one: Decision, two: Decision) -> bool:
    """Return whether two decisions about one record can both be carried out."""
    if one.verdict in SETTLING and two.verdict in SETTLING:
        return True  # about different fields, or reported for the field
    if one.verdict is two.verdict is Verdict.LINK:
        # A contact may have several customers; a customer has one contact.
        return one.pair == two.pair or one.pair[1] != two.pair[1]
    if one.verdict is two.verdict:
        # Each of a contact's two customers may be skipped or excluded.
        return True
    pairs = len(one.refs) == len(two.refs) == len(Side)
    return pairs and one.pair != two.pair


def _contradiction(decision: Decision, earlier: Decision) -> Problem:
    return Problem(decision.line, f"it contradicts line {earlier.line}")


# -- the effect of a decision about values


def winners_of(decisions: Sequence[Decision], fields: Mapping[str, FieldSpec]) -> dict[str, Side]:
    """Return field -> the side whose value wins, from the decisions about one pair.

    A decision about every field leaves out those that are not written to the other side.
    """
    found: dict[str, Side] = {}
    for decision in decisions:
        if winner := decision.verdict.winner:
            names = [decision.field] if decision.field else fields
            found |= {name: winner for name in names if fields[name].direction.reaches(winner.other)}
    return found


def rebase(winner: Side, hubspot: str, stripe: str) -> BasePair:
    """Return a base pair under which only the winner has changed: both sides agreed on the loser's value."""
    loser = stripe if winner is Side.HUBSPOT else hubspot
    return loser, loser
