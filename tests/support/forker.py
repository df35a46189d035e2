"""Loads the program once and forks a process from itself for every command it is asked for (see ``forked``).

Run with the number of a socket. One message, one answer: ``arguments`` and ``env`` of a process, with its standard
output and error beside them, are answered with its id; ``reap``, the id of one that is over, with its exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import socket
import sys
import threading

from wanesync.cli.command_table import COMMANDS

MOST = 1 << 17
PROGRAM = "wanesync.cli.main"
LOADED = (
    "hubspot.crm.associations.v4",
    "hubspot.crm.contacts",
    "hubspot.crm.objects.notes",
    "hubspot.crm.properties",
    "hubspot.discovery.crm.associations.v4.discovery",
    "hubspot.discovery.crm.contacts.discovery",
    "hubspot.discovery.crm.discovery",
    "hubspot.discovery.crm.objects.notes.discovery",
    "hubspot.discovery.crm.properties.discovery",
    "hubspot.discovery.events.send.discovery",
    "hubspot.events.send",
    "hubspot.utils.objects",
    "psycopg_pool",
    "pydantic.type_adapter",
    "rich._emoji_codes",
    "rich.live",
    "rich.progress",
    "stripe._stripe_client",
    "stripe._webhook",
    "typer._adapters",
    "uvicorn.lifespan.off",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.auto",
    "wanesync.wiring",
    "wanesync.ops.status",
    "wanesync.cli.reports.csv_report",
    "wanesync.cli.reports.html_report",
    "wanesync.services",
    "wanesync.log",
    "wanesync.adapters.hubspot.adapter",
    "wanesync.adapters.stripe.adapter",
    "wanesync.adapters.hubspot.webhooks",
    "wanesync.store.postgres",
    "wanesync.web.app",
    *(f"wanesync.cli.commands.{entry.module}" for entry in COMMANDS.values()),
    PROGRAM,
)
"""What its commands load, wherever they import it; one that stands not here costs time, and nothing else."""


def main() -> None:
    """Until the other end of the socket is closed. A forked process returns from here as the program does."""
    door = socket.socket(fileno=int(sys.argv[1]))
    for name in LOADED:
        importlib.import_module(name)
    # It runs in each process anew, as with ``python -m``.
    del sys.modules[PROGRAM]
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1, "only a process with one thread may be forked"
    arguments = _serve(door)
    if arguments is not None:
        sys.argv[1:] = arguments
        runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


def _serve(door: socket.socket) -> list[str] | None:
    """In a forked process its arguments, and None at the end."""
    while True:
        message, outputs, *_ = socket.recv_fds(door, MOST, 2)
        if not message:
            return None
        wish = json.loads(message)
        if "reap" in wish:
            _, status = os.waitpid(wish["reap"], 0)
            door.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            door.close()
            _become(wish["env"], outputs)
            return list(wish["arguments"])
        for number in outputs:
            os.close(number)
        door.send(str(pid).encode())


def _become(env: dict[str, str], outputs: list[int]) -> None:
    """Its own environment and outputs instead of ours."""
    os.environ.clear()
    os.environ.update(env)
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
        os.close(output)


if __name__ == "__main__":
    main()
