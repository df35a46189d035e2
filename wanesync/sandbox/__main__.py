"""``python -m wanesync.sandbox OPTIONS``: the sandbox as the child process of a program.

``OPTIONS`` is a JSON object with the fields of ``server.Options``. The first line printed is a JSON object with the
addresses and keys. For people there is ``wanesync sandbox``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from wanesync.sandbox.errors import SandboxError
from wanesync.sandbox.seed_data import SeedOptions
from wanesync.sandbox.server import Options, Sandbox, serve

_FAILED = 2
LISTED = ("hubspot_scopes", "hubspot_webhooks", "stripe_permissions", "stripe_webhooks")


def write_options(options: Options) -> str:
    """The options as the argument of this program."""
    return json.dumps(asdict(options))


def read_options(text: str) -> Options:
    """The options of the argument. Raises InvalidRequest."""
    fields = json.loads(text)
    low_ms, high_ms = fields.pop("latency_ms")
    listed = {name: tuple(fields[name]) for name in LISTED if fields.get(name) is not None}
    return Options(**fields | listed | {"seed": SeedOptions(**fields["seed"]), "latency_ms": (low_ms, high_ms)})


def main(arguments: list[str]) -> int:
    """Run until SIGINT or SIGTERM: the exit code."""
    try:
        serve(read_options(arguments[0]), _announce)
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return _FAILED
    return 0


def _announce(sandbox: Sandbox) -> None:
    sys.stdout.write(json.dumps(sandbox.describe()) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
