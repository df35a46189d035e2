"""Run the deployment of docs/deploy.md with every part apart, and show that nothing is lost or doubled.

    python -m tests.robustness.split_deployment --python /opt/wanesync/bin/python --kills 18
    python -m tests.robustness.split_deployment --python /opt/wanesync/bin/python --burst

Two handlers, two queue processes, two workers and an admin reader, each with a user and credentials of its own, behind
the Mosquitto of ``wanesync broker-config`` and a Postgres with TLS and ``wanesync db roles``. Needs root for the users
(without it everything runs as one), and Debian's mosquitto and postgresql. ``--python``: an interpreter with wanesync
that other users can run, as docs/deploy.md installs it; by default this one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence

from tests.robustness.split_deployment import burst
from tests.robustness.split_deployment.deployment import NICE_WORKERS, Deployment, Rates, deployed
from tests.robustness.split_deployment.flows import run_flows, run_kills
from tests.robustness.split_deployment.users import runs_as_root
from wanesync.bench.burst.load import Load
from wanesync.bench.environment import Limits
from wanesync.sandbox.server import Options, Sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the flows and kills, or the burst; 1 if anything is lost, doubled or readable by another part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, metavar="FILE")
    parser.add_argument("--kills", type=int, default=9)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between two kills")
    parser.add_argument("--burst", action="store_true", help="the burst instead of flows and kills")
    parser.add_argument("--contacts", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--stripe-limit", type=int, default=100, help="requests a second that Stripe admits")
    parser.add_argument("--nice-workers", type=int, default=NICE_WORKERS, help="nice value of the workers in the burst")
    given = parser.parse_args(arguments)
    _say(f"{time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}, {_load()}")
    if not runs_as_root():
        _say("not root: all parts run as one user, and who can read what is not tried")
    is_right = _run_burst(given.python, given) if given.burst else _run_flows(given.python, given)
    _say(_load())
    return 0 if is_right else 1


def _run_flows(python: str, given: argparse.Namespace) -> bool:
    options = Options(tier="enterprise", stripe_limit=1000, hubspot_limit=1000)
    with Sandbox(options) as sandbox, deployed(python, sandbox, Rates()) as run:
        intrusions = _show_users(run)
        _say(f"flows, seconds: {run_flows(run)}")
        began_s = time.monotonic()
        found = run_kills(run, given.kills, given.pause)
        _say(f"{given.kills} kills in {time.monotonic() - began_s:.0f} s: {found}")
        _say(f"ended by themselves and started again: {', '.join(run.ended) or 'none'}")
        _say(f"the admin reader opened reports: {run.read_counts()}")
        status = json.loads(run.as_part("admin-reader", "status", "--json"))
        _say(f"status as the admin's user: {sorted(row['lanes'] for row in status['processes'])}")
        wrong = [name for name, count in found.items() if count and name not in ("people", "purchases")]
        return not wrong and not intrusions


def _show_users(run: Deployment) -> list[str]:
    if not runs_as_root():
        return []
    intrusions = run.find_intrusions()
    users = {name: part.user.uid for name, part in run.parts.items()}
    _say(f"users: {users}")
    _say(f"{run.tried} files, folders and process files tried by each of {len(users)} parts: {len(intrusions)} wrong")
    for line in intrusions:
        _say(line)
    return intrusions


def _run_burst(python: str, given: argparse.Namespace) -> bool:
    figures = burst.run_burst(
        python,
        Load(contacts=given.contacts, seconds=given.seconds),
        Limits(stripe=given.stripe_limit),
        given.nice_workers,
    )
    _say(json.dumps(figures, indent=1, default=str))
    for line in burst.judge(figures):
        _say(line)
    return burst.is_right(figures)


def _load() -> str:
    averages = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"load average {averages}, {os.cpu_count()} cores"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
