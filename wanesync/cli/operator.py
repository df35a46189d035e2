"""The operator of a command: the user of the operating system who runs it."""

from __future__ import annotations

import os

from wanesync.core.operating.operators import Operator, Via, name_operator


def find_operator() -> Operator:
    """Return the user of this process; root by way of ``sudo`` is named with the user who called that.

    The name is for the audit log, no proof: who may run commands here may write to the database anyway.
    """
    behind = os.environ.get("SUDO_USER", "") if os.getuid() == 0 else ""
    name = _find_login()
    return name_operator(f"{name}/{behind}" if behind and behind != name else name, Via.CLI)


def _find_login() -> str:
    import pwd  # noqa: PLC0415 - used by commands that change something only

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A container may run as a number that has no name.
        return f"uid {os.getuid()}"
