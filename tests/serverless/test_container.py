"""The server of a container: the platform's port, and an end within the platform's patience."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.program import DEADLINE_S
from tests.support.serverless_door import Installed, change, sign
from wanesync.core.model import Side

HUBSPOT = "/webhooks/hubspot"
PATIENCE_S = 10
"""Cloud Run kills a container this long after SIGTERM (cloud.google.com/run/docs/container-contract)."""


def await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until an address answers 200."""
    deadline_s = time.monotonic() + DEADLINE_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with suppress(httpx.TransportError):
            assert httpx.get(url).status_code == 200
            return
    raise AssertionError("the server of the container did not start")


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_container_listens_on_its_port_stores_webhooks_and_ends_in_time(installed: Installed) -> None:
    port = free_port()
    command = [sys.executable, "-m", "wanesync.serverless.container"]
    with subprocess.Popen(command, env=os.environ | {"PORT": str(port)}, stderr=subprocess.PIPE) as process:
        try:
            base = f"http://127.0.0.1:{port}"
            await_answer(f"{base}/healthz", process)
            body = change()
            answer = httpx.post(base + HUBSPOT, content=body, headers=dict(sign(Side.HUBSPOT, body, HUBSPOT)))
            assert (answer.status_code, answer.json()) == (200, {"stored": 1})
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) in {0, -signal.SIGTERM}
        finally:
            process.kill()
    assert installed.read_names() == ["Zoë"]
    assert installed.read_counts() != {}
