"""What is written of an unexpected error holds no value."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import structlog

from wanesync import log
from wanesync.core.errors import ConfigError
from wanesync.crash_output import MAX_CAUSES, format_crash

CRASH = """
import sys, threading
from wanesync.cli import main
from wanesync.crash_output import withhold_messages
withhold_messages()
def fail(name):
    city = "Ulm"
    raise KeyError(f"{name} of {city}")
thread = threading.Thread(target=fail, args=("Zoe",))
thread.start()
thread.join()
fail("Zoe")
"""


def fail(name: str, *, plain: bool = False) -> Exception:
    """An error with a cause, both of which quote a value."""
    try:
        try:
            raise KeyError(name)
        except KeyError as error:
            raise (ConfigError(["a key is missing"]) if plain else ValueError(f"no {name}")) from error
    except (ConfigError, ValueError) as raised:
        return raised


def test_only_kinds_places_and_our_own_messages_are_written() -> None:
    text = format_crash(fail("Zoe Miller", plain=True))
    assert "Zoe" not in text
    assert "a key is missing" in text
    assert "builtins.KeyError: its message may hold data" in text
    assert "tests/test_crash_output.py" in text.replace("\\", "/")
    assert text.index("KeyError") < text.index("ConfigError")
    assert "Zoe" not in format_crash(ExceptionGroup("Zoe", [fail("Zoe"), ValueError("Zoe")]))


def test_a_long_chain_ends() -> None:
    error = Exception("Zoe")
    error.__cause__ = error
    assert format_crash(error).count("builtins.Exception") == MAX_CAUSES


def test_a_logged_error_shows_no_value() -> None:
    shown = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        log.configure("debug", shown)
        structlog.get_logger().error("failed", exc_info=fail("Zoe Miller"))
        logging.getLogger("library").error("failed", exc_info=fail("Zoe Miller"))
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert shown.getvalue().count("its message may hold data") == 4
    assert "Zoe" not in shown.getvalue()


def test_a_program_that_crashes_shows_no_value() -> None:
    done = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("builtins.KeyError: its message may hold data") == 2
    assert "Zoe" not in done.stderr.replace('fail("Zoe")', "").replace('args=("Zoe",)', "")
