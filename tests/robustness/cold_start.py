"""How long a serverless door takes from the start of its process to the first 200 for a webhook, on a local Postgres.

    python -m tests.robustness.cold_start --runs 10

Prints the median and the worst time of each door, and the processor time of the process, which does not depend on what
else the machine does. The bytecode files are written by a first run that is not counted, as a container image or a
package with them has it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import httpx
import psycopg

from tests.support.ports import free_port
from tests.support.serverless_door import CONFIG, api_gateway_event, change, sign
from wanesync.accounts import Pins, store_pins
from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, Cluster
from wanesync.core.model import Side
from wanesync.output import print_line
from wanesync.store import open_store

HUBSPOT = "/webhooks/hubspot"
PATIENCE_S = 60
LAMBDA = """
import json, sys
from wanesync.serverless.aws_lambda import handler
answer = handler(json.load(sys.stdin), None)
assert answer["statusCode"] == 200, answer
"""


def start_lambda(env: Mapping[str, str]) -> float:
    """Start an instance of the function with one event; the seconds until its answer."""
    body = change()
    event = json.dumps(api_gateway_event(HUBSPOT, body, sign(Side.HUBSPOT, body, HUBSPOT)))
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", LAMBDA], input=event, text=True, env=env, check=True, timeout=PATIENCE_S)
    return time.monotonic() - began_s


def start_container(env: Mapping[str, str]) -> float:
    """Start a container's server and post until it answers; the seconds until its first 200."""
    port, body = free_port(), change()
    headers = dict(sign(Side.HUBSPOT, body, HUBSPOT))
    command = [sys.executable, "-m", "wanesync.serverless.container"]
    began_s = time.monotonic()
    with subprocess.Popen(command, env={**env, "PORT": str(port)}) as process, httpx.Client() as client:
        try:
            while time.monotonic() < began_s + PATIENCE_S:
                with suppress(httpx.TransportError):
                    answer = client.post(f"http://127.0.0.1:{port}{HUBSPOT}", content=body, headers=headers)
                    if answer.status_code == 200:
                        return time.monotonic() - began_s
                time.sleep(0.005)
            raise TimeoutError
        finally:
            process.terminate()


@contextmanager
def installation() -> Iterator[dict[str, str]]:
    """A Postgres with an installation, and the environment of a door."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        cluster = Cluster(Path(folder), UNSAFE_SETTINGS)
        cluster.create()
        cluster.start()
        try:
            with psycopg.connect(cluster.url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE door")
            url = cluster.url.replace("/postgres?", "/door?")
            store = open_store(url, [CONFIG["WANESYNC_SECURITY__KEYS"]], migrate=True)
            store.run(lambda tx: store_pins(tx, Pins("3", "", "test")))
            store.close()
            yield dict(os.environ) | CONFIG | {"WANESYNC_DATABASE": url}
        finally:
            cluster.crash()


def used_s() -> float:
    """The processor time of all children that ended, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure both doors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    with installation() as env:
        for name, start in (("lambda", start_lambda), ("container", start_container)):
            start(env)
            before_s = used_s()
            times = [start(env) for _ in range(runs)]
            cpu = (used_s() - before_s) / runs
            print_line(f"{name}: median {median(times):.2f} s, worst {max(times):.2f} s, processor time {cpu:.2f} s")


if __name__ == "__main__":
    main()
