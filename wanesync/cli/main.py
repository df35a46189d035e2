"""``wanesync``: the program and its commands. An error of ours ends in advice and an exit code, not in a traceback."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from wanesync.cli.command_table import GroupedCommands, add_commands
from wanesync.core.errors import CallError, ConfigError, OutputFailed, WanesyncError
from wanesync.crash_output import withhold_messages
from wanesync.output import OUTPUT_ERRORS, discard_output, prepare_streams, print_line

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""
REPEAT_S = 0.05
"""Seconds after which an interrupt that was swallowed is sent again: longer than a destructor takes."""

app = typer.Typer(
    help="Keeps HubSpot contacts and Stripe customers the same, both ways, and records each purchase on the contact.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    cls=GroupedCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_commands(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from wanesync.version import describe_version  # noqa: PLC0415 - only this option needs it

        print_line(describe_version())
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Print version, commit and schema."
        ),
    ] = False,
) -> None:
    """Every command has its own --help, with an example."""


def main() -> None:
    """Run one command and end with its exit code.

    0: fine. 1: differences a reconcile would repair, or work failed. 2: wrong use or configuration, or an unknown id.
    3: stopped by a guard. 4: a side, the database or the place of the output cannot be reached, or a key is refused.
    130: interrupted by Ctrl-C.
    """
    prepare_streams()
    withhold_messages()
    try:
        with _note_interrupts():
            _run()
    except BrokenPipeError:
        # The program that reads our output has closed it, as `| head` does.
        discard_output()
        sys.exit(0)
    except WanesyncError as error:
        _print_problems(error.problems if isinstance(error, ConfigError) else [str(error)])
        sys.exit(error.exit_code)
    except CallError as error:
        _print_problems([error.with_advice])
        sys.exit(4)
    except KeyboardInterrupt:
        # Before or after the command itself.
        sys.exit(INTERRUPTED)


@contextmanager
def _note_interrupts() -> Iterator[None]:
    """Inside, a command that ends with 1 after Ctrl-C ends with 130: Click takes Ctrl-C at a question for "no".

    So does one that fails because Ctrl-C came where Python makes another error of it (PEP 487), or none at all (in a
    destructor: the signal is sent again).
    """
    seen: list[int] = []
    repeats: list[threading.Timer] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    def send_again(swallowed: sys.UnraisableHookArgs) -> None:
        if not issubclass(swallowed.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(swallowed)
            return
        repeats.append(threading.Timer(REPEAT_S, os.kill, (os.getpid(), signal.SIGINT)))
        repeats[-1].daemon = True
        repeats[-1].start()

    # In the background the shell ignores Ctrl-C, and signals are the main thread's.
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = send_again
    try:
        yield
    except (WanesyncError, CallError, BrokenPipeError):
        raise
    except Exception:
        if not seen:
            raise
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        sys.exit(INTERRUPTED if seen and end.code == 1 else end.code)
    finally:
        for repeat in repeats:
            repeat.cancel()
        sys.unraisablehook = sys.__unraisablehook__
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run() -> None:
    """Run the command and write out what it printed, so that a full disk is an error of the command.

    Raises ``OutputFailed`` and ``BrokenPipeError``.
    """
    stream = sys.stdout
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        if sys.stdout is not stream:
            # Click has met a closed pipe: it replaced the stream and ends with 1, which stands for differences here.
            raise BrokenPipeError from None
        if end.code == 1 and _was_unanswered(end):
            raise ConfigError(["a question has no answer: give it as an option, such as --yes (see --help)"]) from None
        raise
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno not in OUTPUT_ERRORS:
            raise
        discard_output()
        raise OutputFailed(f"cannot write the output: {error.strerror}") from error


def _was_unanswered(end: BaseException) -> bool:
    """Return whether a command ended at a question because its input had ended."""
    cause = end.__context__
    while cause is not None and not isinstance(cause, EOFError):
        cause = cause.__context__
    return cause is not None


def _print_problems(problems: list[str]) -> None:
    """Print one problem in a line, several as a list."""
    if len(problems) == 1:
        print_line(f"wanesync: {problems[0]}", error=True)
        return
    print_line(f"wanesync: {len(problems)} problems:", error=True)
    for problem in problems:
        print_line(f"  - {problem}", error=True)


if __name__ == "__main__":
    main()
