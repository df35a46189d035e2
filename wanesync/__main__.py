"""``python -m wanesync``: the same as ``wanesync``."""

from wanesync.cli.main import main

if __name__ == "__main__":
    main()
