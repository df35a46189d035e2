"""``wanesync``, also as ``python -m wanesync``: Ctrl-C while the program is loaded prints no traceback."""

import signal


def main() -> None:
    """Load the program and run one command; Ctrl-C while it is loaded ends it at once, as there is nothing to undo."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from wanesync.cli.main import main as run  # noqa: PLC0415 - takes a moment

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
