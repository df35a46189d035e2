"""The options of ``diff`` and ``reconcile``, and which of them can be combined."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.reconcile.atomic_file import check_place

ShowValues = Annotated[bool, typer.Option("--show-values", help="Show values as they are; personal data.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only what changed since: 2h, 3d, 2026-08-01T10:00, or last (run)."),
]
Parallel = Annotated[
    bool, typer.Option("--parallel-listing", help="List contacts by ranges of ids (undocumented by HubSpot).")
]
MaxRequests = Annotated[
    int | None, typer.Option("--max-requests", metavar="N", min=1, help="At most N requests; the next run continues.")
]
CsvFile = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write all differences to a CSV file.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML page with search.")]
SnapshotFile = Annotated[
    Path | None,
    typer.Option("--snapshot", metavar="FILE", help="File that holds the listing until the run is complete."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 also for differences that need a decision.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the differences and change nothing, as diff does.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the workers have processed all jobs.")]
Only = Annotated[
    list[DifferenceClass] | None,
    typer.Option("--only", metavar="CLASS", help="Only differences of this class; repeatable."),
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most N people, as a canary.")]
Force = Annotated[
    int | None, typer.Option("--force", metavar="N", help="Overwrite values of exactly N people despite the guard.")
]
MaxCreates = Annotated[
    int | None,
    typer.Option("--max-creates", metavar="N", min=0, help="Create at most N people (default 100)."),
]
QuietProperty = Annotated[
    str | None,
    typer.Option(
        "--quiet-property", metavar="NAME=VALUE", help="Set on contacts it creates, so that workflows can skip them."
    ),
]
PlanOut = Annotated[
    Path | None, typer.Option("--plan-out", metavar="FILE", help="Save a plan of the repairs; queue nothing.")
]
ApplyFile = Annotated[
    Path | None, typer.Option("--apply", metavar="FILE", help="Carry out a saved plan, where it is still valid.")
]
ShowFile = Annotated[
    Path | None, typer.Option("--show", metavar="FILE", help="Show a saved plan; nothing is listed or queued.")
]
DecisionsFile = Annotated[
    Path | None,
    typer.Option("--decisions", metavar="FILE", help="A CSV file of --csv with its decision column filled in."),
]
BaselineFlag = Annotated[
    bool, typer.Option("--baseline", help="Link pairs and accept both sides as they are; write nothing.")
]

_SELECTION = ("--only", "--limit")
_PERMISSIONS = ("--force", "--max-creates", "--quiet-property", "--wait")
_IGNORED = {
    "--dry-run": (*_SELECTION, *_PERMISSIONS),
    "--plan-out": _PERMISSIONS,
    "--apply": ("--since", "--only"),
    "--show": ("--since", *_SELECTION, *_PERMISSIONS),
    "--decisions": (),
    "--baseline": ("--since", *_SELECTION, *_PERMISSIONS),
}
"""Modes of ``reconcile``, which exclude one another, and for each the options that would have no effect in it."""


@dataclass(frozen=True, slots=True)
class ListingOptions:
    """How both sides are listed, and the files that the report is written to."""

    parallel: Parallel = False
    max_requests: MaxRequests = None
    csv_file: CsvFile = None
    html_file: HtmlFile = None
    snapshot: SnapshotFile = None

    @property
    def written(self) -> dict[str, Path | None]:
        """Option -> the file it writes."""
        return {"--csv": self.csv_file, "--html": self.html_file}


@dataclass(frozen=True, slots=True)
class ReconcileOptions:
    """The options of one ``reconcile``. ``decision_file``: the content of ``decisions``, read before any listing."""

    dry_run: DryRun = False
    wait: Wait = False
    since: Since = None
    only: Only = None
    limit: Limit = None
    force: Force = None
    max_creates: MaxCreates = None
    quiet_property: QuietProperty = None
    plan_out: PlanOut = None
    apply: ApplyFile = None
    show: ShowFile = None
    decisions: DecisionsFile = None
    baseline: BaselineFlag = False
    decision_file: bytes | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Raises ConfigError: options that exclude one another, a file that cannot be read or written."""
        given = {
            f"--{name.replace('_', '-')}"
            for name in self.__slots__
            if name != "decision_file" and not _is_missing(getattr(self, name))
        }
        modes = [mode for mode in _IGNORED if mode in given]
        if len(modes) > 1:
            raise ConfigError([f"{' and '.join(modes)} exclude one another: give one"])
        ignored = sorted(given & {option for mode in modes for option in _IGNORED[mode]})
        if ignored:
            raise ConfigError([f"{', '.join(ignored)} would do nothing with {modes[0]}: leave it out"])
        if self.plan_out is not None:
            check_place(self.plan_out)
        if self.decisions is not None:
            object.__setattr__(self, "decision_file", _read(self.decisions))

    @property
    def classes(self) -> frozenset[DifferenceClass]:
        """The classes of ``--only``; none of them stands for all."""
        return frozenset(self.only or ())


def _is_missing(value: object) -> bool:
    return value is None or value is False or value == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([f"--decisions {path} cannot be read: {error.strerror}"]) from error
