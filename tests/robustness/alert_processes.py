"""Four real processes evaluate alerts; the one that does is killed, and Slack is dead for a while: all is told once.

``python -m tests.robustness.alert_processes`` runs on a SQLite file, ``--url`` on an empty Postgres database; it takes
about four minutes. ``serve``, a worker for each side and ``admin`` run beside the sandbox; eleven things go wrong and
are mended.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.alert_situations import PLANTED
from tests.support.canned_server import Asked, CannedServer, Told
from tests.support.stage import Stage
from wanesync.core.operating.alarms import AlarmCode
from wanesync.ops.alerts.notices import name_code
from wanesync.store import Store

CODES = (
    *(AlarmCode.SIDE_PAUSED, AlarmCode.FIELD_PAUSED, AlarmCode.CHANGES_HELD, AlarmCode.SECRET_UNREADABLE),
    *(AlarmCode.WRONG_SIGNATURES, AlarmCode.CHANGES_MISSED, AlarmCode.SIDES_DIFFER, AlarmCode.DATABASE_RESTORED),
    *(AlarmCode.RECORD_LOOPING, AlarmCode.FIELD_REFUSED, AlarmCode.CERTIFICATE_ENDS),
)
"""What running processes do not mend by themselves; the others are tried by a clock of the test."""
CHOSEN = [planted for planted in PLANTED if planted.code in CODES]
NOTICED_S, RECOVERED_S, DELIVERED_S = 60.0, 130.0, 130.0
"""How soon each is to be noticed; to have recovered, a minute of it by rule and half a one for the dead process; and
delivered after Slack is back."""
MORE = """
[log]
level = "warning"
[admin]
port = 0
[alerts]
warn = ["{slack}/services/secret", "run:sh -c 'cat >> {file}; echo >> {file}'"]
differing_warn = 1
digest_hour = "off"
"""

PROCESSES = (["serve"], ["worker", "--side", "hubspot"], ["worker", "--side", "stripe"], ["admin"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. ``noticed_s``: the slowest; ``wrong``: what was told not once, to whom, and how often."""

    noticed_s: float
    recovered_s: float
    refused: int
    wrong: Sequence[str]

    @property
    def is_well(self) -> bool:
        """Whether everything was told once, in time."""
        return not self.wrong and self.noticed_s <= NOTICED_S

    def __str__(self) -> str:
        fate = "; ".join(self.wrong) or "each told once to both recipients, and its recovery once"
        return (
            f"{len(CHOSEN)} faults, four processes, the evaluating one killed, Slack refused {self.refused} times: "
            f"noticed within {self.noticed_s:.0f} s, recovered within {self.recovered_s:.0f} s; {fate}"
        )


def judge(sent: Iterable[Sequence[str]], recipient: str) -> list[str]:
    """Return what a recipient was not told exactly once of what was planted: (kind, code) of each notice."""
    told = Counter((kind, code) for kind, code in sent if code in set(CODES))
    wanted = [(kind, str(code)) for kind in ("raised", "recovered") for code in CODES]
    return [f"{recipient}: {kind} {code} {told[kind, code]} times" for kind, code in wanted if told[kind, code] != 1]


def play(url: str, folder: Path) -> Outcome:
    """Play all of it once."""
    dead, slack_sent = [True], list[tuple[str, str]]()
    refused = [0]

    def answer(asked: Asked) -> Told:
        if dead[0]:
            refused[0] += 1
            return Told(500)
        slack_sent.append(_read_slack(json.loads(asked.body)["text"]))
        return Told()

    file = folder / "notices.jsonl"
    with CannedServer(answer=answer) as slack:
        more = MORE.format(slack=slack.url, file=file)
        with Stage(url, folder, more=more) as stage:
            times = _go_wrong_and_recover(stage, dead)
    lines = [json.loads(line) for line in file.read_text().splitlines() if line]
    wrong = [*judge(((one["kind"], one["code"]) for one in lines), "command"), *judge(slack_sent, "slack")]
    return Outcome(*times, refused[0], wrong)


def _go_wrong_and_recover(stage: Stage, dead: list[bool]) -> tuple[float, float]:
    """Plant all of it and mend it; return how long it took until the last was noticed, and had recovered."""
    store = stage.store
    programs = [stage.start(*words) for words in PROCESSES]
    for program in programs:
        program.first_line()
    _wait(lambda: bool(_claim(store)), 60)
    began_s = time.monotonic()
    for planted in CHOSEN:
        planted.begin(store)
    _wait(lambda: _count(store, raised=True) == len(CHOSEN), NOTICED_S + 30)
    noticed_s = time.monotonic() - began_s
    # A process that is killed between a delivery and its note leaves a notice that is sent again (docs/alerts.md).
    _wait(lambda: _waiting(store) <= {"warn 1"}, 30)
    os.kill(int(_claim(store).partition("-")[0]), signal.SIGKILL)
    dead[0] = False
    began_s = time.monotonic()
    for planted in CHOSEN:
        planted.end(store)
    _wait(lambda: _count(store, raised=False) == len(CHOSEN), RECOVERED_S + 30)
    recovered_s = time.monotonic() - began_s
    _wait(lambda: store.read(lambda tx: tx.alert_deliveries.count_waiting()) == 0, DELIVERED_S)
    return noticed_s, recovered_s


def _read_slack(text: str) -> tuple[str, str]:
    """Return (kind, code) of a notice in Slack's shape, by the beginning of its title."""
    head = text.partition("[")[2]
    kind, _, rest = head.partition("] ")
    title = rest.partition("\n")[0]
    titles = {code: name_code(code) for code in CODES}
    code = next((str(code) for code, name in titles.items() if title.startswith(name)), title)
    return ("recovered" if kind == "recovered" else "raised"), code


def _claim(store: Store) -> str:
    claim = store.read(lambda tx: tx.alerts.claim())
    return claim.owner if claim.evaluated_ms else ""


def _waiting(store: Store) -> set[str]:
    page = store.read(lambda tx: tx.alert_deliveries.page(500, states=["waiting"]))
    return {one.recipient for one in page}


def _count(store: Store, *, raised: bool) -> int:
    history = store.read(lambda tx: tx.alerts.history(500))
    return len({(row.code, row.subject) for row in history if row.code in set(CODES) and bool(row.level) is raised})


def _wait(holds: Callable[[], bool], within_s: float) -> None:
    until_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until_s:
            raise TimeoutError("what was waited for did not happen")
        time.sleep(0.2)


def main() -> int:
    """Run it; 1 if something was told late, twice or not at all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="of an empty Postgres database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = play(options.url or f"sqlite:{Path(folder) / 'alerts.db'}", Path(folder))
    sys.stdout.write(f"{outcome}\n")
    return int(not outcome.is_well)


if __name__ == "__main__":
    sys.exit(main())
