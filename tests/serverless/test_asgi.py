"""The application that an ASGI server imports, and what its import costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wanesync.serverless.asgi import create_app
from wanesync.serverless.door import ServerlessApp

UNUSED = (
    "hubspot", "stripe", "typer", "sqlite_utils", "pyrate_limiter", "wanesync.wiring", "wanesync.cli",
    "wanesync.worker.worker", "wanesync.reconcile.run", "wanesync.sync.writes.writer", "wanesync.ops.checks",
)  # fmt: skip
"""Slow modules that a door does not use: each of them would lengthen every cold start."""


def test_the_application_opens_nothing_before_the_server_starts_it() -> None:
    assert isinstance(create_app(), ServerlessApp)


@pytest.mark.slow
def test_a_door_imports_no_worker_no_bulk_work_and_no_sdk() -> None:
    program = (
        f"import sys, wanesync.serverless.aws_lambda, psycopg_pool; unused = {UNUSED!r};"
        "print([name for name in sys.modules if name in unused])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={}, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
    assert "door not built" in done.stderr
