"""The options of ``diff`` and ``reconcile``, and which of them go together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.reconcile.atomic_file import check_place

DEFAULT_CREATES = 100
"""So many people are created without being asked for by number."""

ShowValues = Annotated[bool, typer.Option("--show-values", help="Show values as they are; personal data.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only what changed since: 2h, 3d, 2026-08-01T10:00, or last (run)."),
]
Parallel = Annotated[
    bool, typer.Option("--parallel-listing", help="List contacts by ranges of ids (undocumented by HubSpot).")
]
MaxRequests = Annotated[
    int | None, typer.Option("--max-requests", metavar="N", min=1, help="Stop before more; the next run goes on.")
]
CsvFile = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write all differences to a table.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page to look at and search.")]
SnapshotFile = Annotated[
    Path | None, typer.Option("--snapshot", metavar="FILE", help="Where the run keeps what it listed until it is done.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 also for what a person has to settle.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show it, change nothing, as diff does.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until the workers have done it.")]
Only = Annotated[
    list[DifferenceClass] | None,
    typer.Option("--only", metavar="CLASS", help="Only differences of this class; repeatable."),
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="So many people, as a canary.")]
Force = Annotated[
    int | None, typer.Option("--force", metavar="N", help="Overwrite values of exactly N people despite the guard.")
]
MaxCreates = Annotated[
    int | None,
    typer.Option("--max-creates", metavar="N", min=0, help="Create at most so many people; above 100 say how many."),
]
QuietProperty = Annotated[
    str | None,
    typer.Option("--quiet-property", metavar="NAME=VALUE", help="Mark contacts it creates, for workflows to skip."),
]
PlanOut = Annotated[
    Path | None, typer.Option("--plan-out", metavar="FILE", help="Save what would be done, and do nothing.")
]
ApplyFile = Annotated[
    Path | None, typer.Option("--apply", metavar="FILE", help="Do what a saved plan says, where it still stands.")
]
DecisionsFile = Annotated[
    Path | None, typer.Option("--decisions", metavar="FILE", help="A table of --csv, its column decision filled in.")
]
BaselineFlag = Annotated[
    bool, typer.Option("--baseline", help="Link pairs and take everything as agreed on; write nothing.")
]

_SELECTING = ("--only", "--limit")
_ALLOWING = ("--force", "--max-creates", "--quiet-property", "--wait")
_IDLE = {
    "--dry-run": (*_SELECTING, *_ALLOWING),
    "--plan-out": _ALLOWING,
    "--apply": ("--since", "--only"),
    "--decisions": (),
    "--baseline": ("--since", *_SELECTING, *_ALLOWING),
}
"""The ways to go, of which one can be taken, and the options that would do nothing on each."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What ``reconcile`` was asked for. ``decided``: the file of decisions, read before anything is listed."""

    dry_run: bool = False
    wait: bool = False
    since: str | None = None
    only: frozenset[DifferenceClass] = frozenset()
    limit: int | None = None
    force: int | None = None
    max_creates: int | None = None
    quiet_property: str | None = None
    plan_out: Path | None = None
    apply: Path | None = None
    decisions: Path | None = None
    baseline: bool = False
    decided: bytes | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Raises ConfigError: options that exclude one another, a file that cannot be read or made."""
        given = {
            f"--{name.replace('_', '-')}"
            for name in self.__slots__
            if name != "decided" and not _is_missing(getattr(self, name))
        }
        ways = [way for way in _IDLE if way in given]
        if len(ways) > 1:
            raise ConfigError([f"{' and '.join(ways)} exclude one another: give one"])
        idle = sorted(given & {option for way in ways for option in _IDLE[way]})
        if idle:
            raise ConfigError([f"{', '.join(idle)} would do nothing with {ways[0]}: leave it out"])
        if self.plan_out is not None:
            check_place(self.plan_out)
        if self.decisions is not None:
            object.__setattr__(self, "decided", _read(self.decisions))

    @property
    def most_creates(self) -> int:
        """How many people may be created."""
        return DEFAULT_CREATES if self.max_creates is None else self.max_creates


def _is_missing(value: object) -> bool:
    return value is None or value is False or value == frozenset()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([f"--decisions {path} cannot be read: {error.strerror}"]) from error
