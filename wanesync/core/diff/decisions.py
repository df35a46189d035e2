"""Decisions: what a person wrote into the last column of a list of differences, understood whole or refused whole.

A decision about a field is ``hubspot`` or ``stripe`` (whose value wins); without a field it is about every field of the
pair. All others are about the record or pair of their line. A blank one is none.
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
"""What a file must have; it may have more, which are not read."""
SHOWN = 200
"""Lines an error lists; it says how many more there are."""
_WORDS = "hubspot, stripe, skip, link ID, create, exclude"


class Verdict(StrEnum):
    """What was decided."""

    HUBSPOT = "hubspot"
    STRIPE = "stripe"
    SKIP = "skip"
    LINK = "link"
    CREATE = "create"
    EXCLUDE = "exclude"

    @property
    def winner(self) -> Side | None:
        """The side whose value wins, where that was decided."""
        return {Verdict.HUBSPOT: Side.HUBSPOT, Verdict.STRIPE: Side.STRIPE}.get(self)


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision and its line. ``field`` "": all of them. ``other_id``: the record to be linked with."""

    line: int
    hubspot_id: str
    stripe_id: str
    field: str
    verdict: Verdict
    other_id: str = ""

    @property
    def refs(self) -> tuple[RecordRef, ...]:
        """The records its line names."""
        named = ((Side.HUBSPOT, self.hubspot_id), (Side.STRIPE, self.stripe_id))
        return tuple((side, record_id) for side, record_id in named if record_id)

    @property
    def pair(self) -> tuple[str, str]:
        """(contact, customer), the one to be linked with included."""
        return self.hubspot_id or self.other_id, self.stripe_id or self.other_id

    @property
    def key(self) -> str:
        """The key of what it is about: the contact's, where one is named."""
        return contact_key(self.hubspot_id) if self.hubspot_id else customer_key(self.stripe_id)

    @property
    def target(self) -> RecordRef | None:
        """The record it is to be linked with."""
        if self.verdict is not Verdict.LINK:
            return None
        return (Side.STRIPE if self.hubspot_id else Side.HUBSPOT), self.other_id


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Why a line cannot be carried out; never a value of it."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def refuse(problems: Collection[Problem]) -> ConfigError:
    """The error that refuses a file: every line and its reason."""
    listed = [str(problem) for problem in sorted(set(problems))]
    more = [f"and {len(listed) - SHOWN} more lines"] if len(listed) > SHOWN else []
    return ConfigError([*listed[:SHOWN], *more, "no decision was carried out: mend the file and give it again"])


def read_decisions(data: bytes, fields: Mapping[str, FieldSpec]) -> tuple[list[Decision], list[Problem]]:
    """The decisions of a CSV file, and what cannot be understood of it: with a problem none may be carried out."""
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
        understood = _understand(line, found, fields)
        if isinstance(understood, str):
            problems.append(Problem(line, understood))
        elif understood is not None:
            decisions.append(understood)
    return decisions, problems + find_contradictions(decisions)


def _read_rows(text: str) -> Iterator[tuple[int, dict[str, str] | str]]:
    """(line, cells by name, or why it is not a line of the table)."""
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
                    yield line, f"it has {len(cells)} cells, the first line has {len(names)}"
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


def _understand(line: int, row: Mapping[str, str], fields: Mapping[str, FieldSpec]) -> Decision | str | None:
    """A decision, None where there is none, or why it cannot be understood."""
    word, _, rest = row["decision"].partition(" ")
    if not word:
        return None
    other_id = rest.strip()
    word = word.lower()
    if word not in tuple(Verdict) or (other_id and word != Verdict.LINK) or len(other_id.split()) > 1:
        return f"the decision is none of {_WORDS}"
    decision = Decision(line, row["hubspot_id"], row["stripe_id"], row["field"], Verdict(word), other_id)
    return _find_misfit(decision, fields) or decision


def _find_misfit(decision: Decision, fields: Mapping[str, FieldSpec]) -> str:
    """What does not fit in the line itself."""
    verdict, name = decision.verdict, decision.field
    paired = len(decision.refs) == len(Side)
    misfits = (
        (not decision.refs, "it names no record"),
        (name and name not in fields, "its field is not mapped"),
        (verdict is Verdict.LINK and not decision.other_id, "link needs the id of the record to link with: link ID"),
        (verdict in (Verdict.LINK, Verdict.CREATE) and paired, f"{verdict} does not fit: the line names two records"),
        (verdict.winner and not paired, f"{verdict} does not fit: the line names one record, and no other value"),
    )
    found = next((reason for misfit, reason in misfits if misfit), "")
    if not found and verdict.winner and name and not fields[name].direction.reaches(verdict.winner.other):
        return f"{verdict} does not fit: this field is not written to {verdict.winner.other}"
    return found


# -- several decisions about one thing


def find_contradictions(decisions: Sequence[Decision]) -> list[Problem]:
    """Lines that say something else than an earlier one about the same record or field."""
    problems: list[Problem] = []
    winners: dict[tuple[str, str], list[Decision]] = {}
    whole: dict[RecordRef, Decision] = {}
    for decision in decisions:
        if decision.verdict.winner:
            others = winners.setdefault(decision.pair, [])
            problems += [_contradiction(decision, other) for other in others if _quarrel(decision, other)][:1]
            others.append(decision)
        for ref in _concerned(decision):
            earlier = whole.setdefault(ref, decision)
            if not _go_together(earlier, decision):
                problems.append(_contradiction(decision, earlier))
    return problems


def _concerned(decision: Decision) -> tuple[RecordRef, ...]:
    target = decision.target
    return (*decision.refs, target) if target else decision.refs


def _quarrel(one: Decision, two: Decision) -> bool:
    """Whether two sides were to win in one field; a line without a field speaks of every one."""
    return one.verdict is not two.verdict and (one.field == two.field or not one.field or not two.field)


def _go_together(one: Decision, two: Decision) -> bool:
    """Whether two decisions about one record can both be carried out."""
    if one.verdict.winner and two.verdict.winner:
        return True  # different fields, or found by the field
    if one.verdict is two.verdict is Verdict.LINK:
        # A contact may have several customers; a customer has one contact.
        return one.pair == two.pair or one.pair[1] != two.pair[1]
    if one.verdict is two.verdict:
        # Of a contact's two customers each may be skipped or taken from it.
        return True
    pairs = len(one.refs) == len(two.refs) == len(Side)
    return pairs and one.pair != two.pair


def _contradiction(decision: Decision, earlier: Decision) -> Problem:
    return Problem(decision.line, f"it contradicts line {earlier.line}")


# -- what a decision about values does


def winners_of(decisions: Sequence[Decision], fields: Mapping[str, FieldSpec]) -> dict[str, Side]:
    """Field -> the side whose value wins, of the decisions about one pair.

    Where all fields were meant, those that are not written to the other side are left out.
    """
    found: dict[str, Side] = {}
    for decision in decisions:
        if winner := decision.verdict.winner:
            names = [decision.field] if decision.field else fields
            found |= {name: winner for name in names if fields[name].direction.reaches(winner.other)}
    return found


def rebase(winner: Side, hubspot: str, stripe: str) -> BasePair:
    """Halves by which the winner moved and the other side did not: as if both had agreed on what the loser holds."""
    loser = stripe if winner is Side.HUBSPOT else hubspot
    return loser, loser
