"""Each process starts with the secrets it uses, and without the others."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.stage import Stage
from wanesync.child_process import clean_environment
from wanesync.core.model import Side

SECRETS = ("access_token", "hubspot_webhook", "api_key", "stripe_webhook")


def test_a_process_resolves_only_what_it_uses(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        env = _refer(stage.file)
        stage.edit(Side.HUBSPOT, "create", email="ana@example.com")

        def only(*names: str) -> dict[str, str]:
            return {f"S_{name}": env[name] for name in names}

        assert stage.run("diff", **only("access_token", "api_key")).returncode == 1
        assert stage.run("status").returncode == 0
        refused = stage.run("diff", **only("access_token", "hubspot_webhook", "stripe_webhook"))
        assert (refused.returncode, "env:S_api_key is not set" in refused.stderr) == (2, True)
        assert "webhook" not in refused.stderr
        door = stage.start("serve", **only("hubspot_webhook", "stripe_webhook"))
        stripe = stage.start("worker", "--side", "stripe", **only("api_key"))
        hubspot = stage.start("worker", "--side", "hubspot", **only("access_token"))
        assert "wanesync serves" in door.first_line()
        assert stripe.first_line().endswith(": stripe")
        assert hubspot.first_line().endswith(": hubspot")


def _refer(file: Path) -> dict[str, str]:
    """Replace the secrets of a configuration by references to variables; return their values by name."""
    values: dict[str, str] = {}
    names = iter(SECRETS)

    def refer(found: re.Match[str]) -> str:
        name = next(names)
        values[name] = found[2]
        return f'{found[1]} = "env:S_{name}"'

    file.write_text(re.sub(r'(?m)^(access_token|webhook_secret|api_key) = "(.*)"$', refer, file.read_text()))
    assert not any(f"S_{name}" in clean_environment() for name in SECRETS)
    return values
