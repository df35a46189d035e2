"""The process that loads the program once and forks a process from itself for every command (see ``forked``).

Its argument is the number of a socket. Each message has one answer: ``arguments`` and ``env`` of a process, with its
standard output and error as file descriptors, the process id; ``reap`` with the id of an ended process, its exit code.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import threading
from pathlib import Path

from wanesync.cli.command_table import COMMANDS
from wanesync.sync.failpoints import arm_failpoint

MESSAGE_BYTES = 1 << 17
FAILPOINT_VARIABLE = "WANESYNC_TEST_FAILPOINT"
"""Variable that names the failpoint of a forked process: only this entry point arms one."""
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
    "wanesync.web.server",
    "wanesync.log",
    "wanesync.adapters.hubspot.adapter",
    "wanesync.adapters.stripe.adapter",
    "wanesync.adapters.hubspot.webhooks",
    "wanesync.store.postgres",
    "wanesync.web.app",
    *(f"wanesync.cli.commands.{entry.module}" for entry in COMMANDS.values()),
    PROGRAM,
)
"""The modules that the commands load; a missing one only costs time."""


def main() -> None:
    """Serve until the other end of the socket is closed; a forked process runs the program and returns."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for name in LOADED:
        importlib.import_module(name)
    # It runs in each process again, as with ``python -m``.
    del sys.modules[PROGRAM]
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1, "only a process with one thread may be forked"
    arguments = _serve(requests)
    if arguments is not None:
        if "--config" in arguments:
            # What a command leaves in its working directory belongs to the test's folder, not into the checkout.
            os.chdir(Path(arguments[arguments.index("--config") + 1]).parent)
        sys.argv[1:] = arguments
        if os.environ.get("PYTHONFAULTHANDLER"):
            # Read by an interpreter at its start alone, and this one has started long ago.
            faulthandler.enable()
        if FAILPOINT_VARIABLE in os.environ:
            arm_failpoint(os.environ[FAILPOINT_VARIABLE])
        runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


def _serve(requests: socket.socket) -> list[str] | None:
    """Answer messages: in a forked process its arguments, at the end None."""
    while True:
        content, outputs, *_ = socket.recv_fds(requests, MESSAGE_BYTES, 2)
        if not content:
            return None
        message = json.loads(content)
        if "reap" in message:
            _, status = os.waitpid(message["reap"], 0)
            requests.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            requests.close()
            _replace_process_state(message["env"], outputs)
            return list(message["arguments"])
        for number in outputs:
            os.close(number)
        requests.send(str(pid).encode())


def _replace_process_state(env: dict[str, str], outputs: list[int]) -> None:
    """Replace the environment and the outputs of this process."""
    os.environ.clear()
    os.environ.update(env)
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
        os.close(output)


if __name__ == "__main__":
    main()
