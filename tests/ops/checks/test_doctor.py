"""The order of the checks, and what is left out where something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.setup_ports import FakeHubSpot, FakeStripe
from wanesync.config.model import Config, load
from wanesync.core.errors import DatabaseUnavailable, Failure
from wanesync.ops.checks.accounts import KnownAccounts
from wanesync.ops.checks.doctor import Examined, _local_host, describe_config_problems, examine
from wanesync.ops.checks.findings import State


def configure(folder: Path, more: str = "") -> Config:
    path = folder / "wanesync.toml"
    path.touch(mode=0o600)
    path.write_text(f'[create]\ncustomers = "all"\ncontacts = "all"\n{more}')
    return load(path, {})


def test_without_database_and_keys_that_is_what_is_found(tmp_path: Path) -> None:
    found = list(
        examine(Examined(configure(tmp_path), None, None, ["the database x is not set up yet: run wanesync init"]))
    )
    assert [(finding.check, finding.state) for finding in found] == [
        ("files", State.OK),
        ("web door", State.OK),
        ("database", State.FAIL),
        ("hubspot key", State.WARN),
        ("stripe key", State.WARN),
    ]
    assert found[2].fix == "run wanesync init"


def test_a_broken_key_is_not_named_twice(tmp_path: Path) -> None:
    broken = frozenset({"hubspot.access_token", "stripe.api_key"})
    found = list(examine(Examined(configure(tmp_path), None, None, broken=broken)))
    assert [finding.check for finding in found] == ["files", "web door"]


def test_what_depends_on_an_account_is_left_out_without_it(tmp_path: Path) -> None:
    config = configure(tmp_path, '[stripe]\napi_key = "rk_test_1"\n')
    lost = {"account": Failure.UNREACHED}
    ports = {"hubspot": FakeHubSpot(trouble=dict(lost)), "stripe": FakeStripe(trouble=dict(lost))}
    found = list(examine(Examined(config, None, None, known=KnownAccounts(), **ports)))  # type: ignore[arg-type] # two ports by name
    assert [finding.check for finding in found] == ["files", "web door", "hubspot key", "stripe key"]


def test_an_unreadable_portal_is_one_finding_among_the_others(tmp_path: Path) -> None:
    hubspot = FakeHubSpot(trouble={"inspect": Failure.UNREACHED})
    found = [finding.check for finding in examine(Examined(configure(tmp_path), None, None, hubspot=hubspot))]
    assert found.count("hubspot properties") == 1
    assert "hubspot quota" in found


def test_a_database_that_goes_away_ends_its_own_checks_only(tmp_path: Path) -> None:
    class Gone:
        url_label = "postgresql://db"

        def reading(self) -> None:
            raise DatabaseUnavailable("the database does not answer: see its log")

        def now_ms(self) -> int:
            return 1_000

    examined = Examined(configure(tmp_path), None, Gone(), hubspot=FakeHubSpot())  # type: ignore[arg-type] # no store
    found = [(finding.check, finding.text) for finding in examine(examined)]
    assert found.count(("database", "the database does not answer")) == 2
    assert ("hubspot account", "portal 17 (test)") in found


@pytest.mark.parametrize(
    ("host", "called"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("fd00::1", "[fd00::1]"), ("localhost", "localhost")],
)
def test_an_address_to_listen_at_is_called_from_its_own_machine(host: str, called: str) -> None:
    assert _local_host(host) == called


def test_a_problem_of_the_configuration_keeps_its_line() -> None:
    (finding,) = describe_config_problems(["wanesync.toml:4: stripe.rate: must be a number"])
    assert (finding.text, finding.fix) == ("wanesync.toml:4: stripe.rate", "must be a number")
    (example,) = describe_config_problems(["wanesync.toml:4: stripe.webhook_secret: must be the secret: whsec_…"])
    assert (example.text, example.fix) == ("wanesync.toml:4: stripe.webhook_secret", "must be the secret: whsec_…")
    (plain,) = describe_config_problems(["all is wrong"])
    assert (plain.text, plain.fix) == ("all is wrong", "correct it")
