"""``make chaos``: kill real processes under traffic, and see whether anything is lost or there twice."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.robustness.chaos.campaign import Campaign, Result, Wish
from wanesync.bench.figures import describe_machine


def say(line: str) -> None:
    """One line of the report, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Exit code 1 after a violation: then the folder with the database and all logs is kept, and named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="sqlite")
    parser.add_argument("--check-every", type=int, default=20, metavar="N", help="come to rest and check after N kills")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    parser.add_argument("--keep", action="store_true", help="keep the folder in any case")
    wanted = parser.parse_args()
    # Asked to end, it still ends the processes it started.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    databases = ("sqlite", "postgres") if wanted.database == "both" else (wanted.database,)
    results = []
    for place, database in enumerate(databases):
        kills = (wanted.kills + place) // len(databases)
        results.append(fight(Wish(kills, wanted.seed, database, wanted.check_every), keep=wanted.keep))
    if wanted.json:
        machine = describe_machine("sqlite:")
        wanted.json.write_text(
            json.dumps({"machine": machine, "runs": [r.as_json() for r in results]}, indent=2) + "\n"
        )
    return int(any(result.violations for result in results))


def fight(wish: Wish, *, keep: bool) -> Result:
    """One campaign in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="wanesync-chaos-"))
    folder.chmod(0o755)
    say(f"{wish.database}: {wish.kills} kills, seed {wish.seed}")
    campaign = Campaign(wish, folder, lambda line: say(f"  {line}"))
    finished = False
    try:
        result = campaign.run()
        finished = not result.violations
    finally:
        if keep or not finished:
            say(f"  database, journals and logs: {folder}")
        else:
            shutil.rmtree(folder)
    show(result)
    return result


def show(result: Result) -> None:
    """The table of one campaign."""
    for kind, number in result.by_kind.items():
        say(f"  {number:5}  {kind}")
    say(f"  not reached: {', '.join(result.not_reached) or 'nothing'}")
    say(f"  happened:    {', '.join(f'{n} {what}' for what, n in result.happened.items())}")
    say(f"  recovery:    {', '.join(f'{name} {value:g}' for name, value in result.recovery_s.items())} (seconds)")
    for line in result.slowest[:3]:
        say(f"    {line}")
    per_kill = result.seconds / max(1, result.kills)
    say(f"  {result.kills} kills in {result.seconds:.0f} s ({per_kill:.1f} s each), {result.checks} checks")
    for violation in result.violations:
        say(f"  VIOLATION (seed {result.wish.seed}, after {result.kills} kills): {violation}")
    say("  no violation" if not result.violations else f"  {len(result.violations)} violations")


if __name__ == "__main__":
    sys.exit(main())
