"""The first day as README tells it: from an empty folder to writes on, against a sandbox that enforces rights.

Only what README and the commands print is used: options, files that a command names, and the next commands.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.forked import run_forked
from tests.support.ports import free_port
from tests.support.program import DEADLINE_S, Program
from wanesync.child_process import clean_environment
from wanesync.sandbox.server import HUBSPOT_KEY, RESTRICTED_KEY, Options, Sandbox
from wanesync.sandbox.stand_in import WebhookTarget

SECRET = "hubspot-client-secret"
PERMISSIONS = {
    "Customers: Write": "customer:write",
    "Charges and Refunds: Read": "charge:read",
    "Events: Read": "event:read",
    "Webhook Endpoints: Read": "webhook:read",
    "Webhook Endpoints: Write": "webhook:write",
}
"""A right as it is printed -> as the sandbox calls it."""


class Newcomer:
    """A folder, a sandbox whose keys may do nothing yet, and the commands."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox, self.file = folder, sandbox, folder / "wanesync.toml"
        self.port = free_port()
        self.public = f"http://127.0.0.1:{self.port}"
        self.env = clean_environment() | {"WANESYNC_SERVER__PORT": str(self.port)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_forked((*arguments, "--config", str(self.file)), self.env, 90)

    def succeed(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def save(self, name: str, content: str) -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(content)
        return f"file:{path}"

    def until(self, holds: Callable[[], object], what: str) -> None:
        end = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {what}"
            time.sleep(0.1)


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Newcomer]:
    options = Options(tier="enterprise", hubspot_scopes=("oauth",), stripe_permissions=())
    with Sandbox(options) as sandbox:
        yield Newcomer(tmp_path, sandbox)


def give_rights(day: Newcomer) -> None:
    """Give both keys what ``init --permissions`` prints, and nothing else."""
    printed = day.succeed("init", "--permissions")
    scopes = re.findall(r"(?m)^  ([a-z_]+(?:\.[a-z_]+)*)(?: \([a-z -]+\))? - ", printed)
    rights = [name for name in PERMISSIONS if f"  {name}" in printed]
    assert len(rights) == len(PERMISSIONS)
    day.sandbox.hubspot.set_grants(HUBSPOT_KEY, scopes)
    day.sandbox.stripe.set_grants(RESTRICTED_KEY, [PERMISSIONS[name] for name in rights])


def test_from_an_empty_folder_to_writes_on(day: Newcomer) -> None:
    give_rights(day)
    day.sandbox.edit("hubspot", "create", None, {"email": "before@example.com", "firstname": "Ana"})

    written = day.succeed(
        "init",
        "--hubspot",
        f"--hubspot-access-token={day.save('token', HUBSPOT_KEY)}",
        f"--stripe-api-key={day.save('key', RESTRICTED_KEY)}",
        f"--public-url={day.public}",
        "--create-customers=all",
        "--create-contacts=all",
        f"--hubspot-url={day.sandbox.hubspot_url}",
        f"--stripe-url={day.sandbox.stripe_url}",
    )
    assert "made       contact property stripe_customer_id" in written

    # The app: uploaded and installed by hand; its client secret is copied to where the next command says.
    app = day.folder / "hubspot-app"
    assert "hs project upload" in day.succeed("webhooks", "hubspot", "write", str(app))
    webhooks = json.loads((app / "src/app/webhooks/webhooks-hsmeta.json").read_text())["config"]
    assert webhooks["settings"]["targetUrl"] == f"{day.public}/webhooks/hubspot"
    (place,) = re.findall(r"then (\S*hubspot-client-secret) holds its secret", written)
    day.save(place, SECRET)
    day.sandbox.set_target("hubspot", WebhookTarget(f"{day.public}/webhooks/hubspot", SECRET))

    day.succeed("webhooks", "stripe", "create")
    day.succeed("writes", "off")  # a sandbox starts with writes on, real accounts with writes off
    assert day.run("diff").returncode == 1, "one person is missing on the other side"

    up = Program(day.file, ("up",), day.env)
    try:
        assert day.public in up.first_line()
        day.until(lambda: "both sides were listed" in day.run("doctor").stdout, "the first listing")
        day.sandbox.edit("hubspot", "create", None, {"email": "ana@example.com", "city": "Lyon"})
        day.sandbox.edit("stripe", "create", None, {"email": "bo@example.com"})
        day.until(lambda: day.run("doctor", "--json").returncode == 0 and is_well(day), "doctor finds all well")
        assert len(day.sandbox.records("stripe")) == 1, "nothing is written before writes are on"
        day.succeed("writes", "on")
        day.until(lambda: len(day.sandbox.records("stripe")) == 3, "both contacts become customers")
        day.until(lambda: len(day.sandbox.records("hubspot")) == 3, "the customer becomes a contact")
    finally:
        up.signal(signal.SIGTERM)
        up.end()


def is_well(day: Newcomer) -> bool:
    found = json.loads(day.run("doctor", "--json").stdout)["checks"]
    return all(finding["state"] == "ok" for finding in found)
