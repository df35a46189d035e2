"""The raw tables of a configuration: overrides, and checks across tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import ALLOWED, CREATE, SEAL, only_problem, read
from wanesync.config.locations import ConfigProblem, KeyLocations
from wanesync.config.model import load
from wanesync.config.overrides import Table, find_duplicates, override, resolve
from wanesync.core.errors import ConfigError


def test_the_environment_overrides_the_file(file: Path) -> None:
    env = {
        "WANESYNC_STRIPE__RATE": "7.5",
        "WANESYNC_DATABASE": "sqlite:other.db",
        "WANESYNC_HUBSPOT__WEBHOOK_SECRET": '["one", "env:TWO"]',
        "WANESYNC_HUBSPOT__OWN_SOURCE_IDS": "123",
        "TWO": "two",
        "WANESYNC_CONFIG": "elsewhere.toml",
        "UNRELATED": "1",
    }
    config = read(file, CREATE + "[stripe]\nrate = 3\n", env)
    assert (config.stripe.rate, config.database) == (7.5, "sqlite:other.db")
    assert [secret.get_secret_value() for secret in config.hubspot.webhook_secret] == ["one", "two"]
    assert config.hubspot.own_source_ids == ("123",)


@pytest.mark.parametrize(("line", "name"), [("", "wanesync.db"), ('database = "sqlite:data/one.db"\n', "data/one.db")])
def test_a_database_file_stands_beside_the_file_that_names_it(file: Path, line: str, name: str) -> None:
    assert read(file, line + CREATE).database == f"sqlite:{file.parent / name}"


@pytest.mark.parametrize("database", ["sqlite:/srv/one.db", "postgresql://ann@/d"])
def test_other_databases_stay_as_they_are_named(file: Path, database: str) -> None:
    keys = f'[security]\nkeys = "abcd:{SEAL}"\n'
    assert read(file, f'database = "{database}"\n{CREATE}{keys}').database == database


def test_a_list_that_is_no_json_is_named(file: Path) -> None:
    problem = only_problem(file, CREATE, {"WANESYNC_HUBSPOT__WEBHOOK_SECRET": "[planted"})
    assert problem.startswith("WANESYNC_HUBSPOT__WEBHOOK_SECRET: hubspot.webhook_secret: is not JSON")
    assert "planted" not in problem


def test_postgres_needs_sealing_keys(file: Path) -> None:
    text = 'database = "postgresql://localhost/d"\n' + CREATE
    assert "security.keys: is needed with Postgres" in only_problem(file, text)
    assert read(file, text, {"WANESYNC_SECURITY__KEYS": f"abcd:{SEAL}"}).database == "postgresql://localhost/d"


@pytest.mark.parametrize("kind", ["sk", "rk"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9", "https://127.1.2.3"])
def test_a_live_key_never_meets_a_sandbox(file: Path, kind: str, url: str) -> None:
    text = CREATE + f'{ALLOWED}[stripe]\nbase_url = "{url}"\napi_key = "env:KEY"\n'
    assert "is a live key" in only_problem(file, text, {"KEY": f"{kind}_live_x"})
    assert read(file, text, {"KEY": f"{kind}_test_x"}).stripe.base_url == url


@pytest.mark.parametrize("section", ["hubspot", "stripe"])
def test_another_address_than_the_vendors_is_refused_unless_it_is_allowed(file: Path, section: str) -> None:
    text = CREATE + f'[{section}]\nbase_url = "https://proxy.example"\n'
    assert f"{section}.base_url: must be https://api." in only_problem(file, text)
    allowed = read(file, text, {"WANESYNC_NETWORK__ALLOW_BASE_URL": "true"})
    assert getattr(allowed, section).base_url == "https://proxy.example"


def test_the_proxy_is_a_secret_and_the_bundle_begins_beside_the_file(file: Path) -> None:
    text = CREATE + '[network]\nproxy = "http://ann:planted@proxy.example:3128"\nca_bundle = "ca.pem"\n'
    config = read(file, text)
    assert "planted" not in repr(config)
    assert config.network.ca_bundle == str(file.with_name("ca.pem"))
    for wrong in ("proxy.example:3128", "socks5://p:1", "http://p:1/path", "http://p:0", "http://:1"):
        problem = only_problem(file, text.replace("http://ann:planted@proxy.example:3128", wrong))
        assert problem.startswith("wanesync.toml:5: network.proxy: must be http://host:port"), wrong
    file.chmod(0o600)
    assert "is a secret in a file that" in problems_of_mode(file, text)


def problems_of_mode(file: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(file, text, mode=0o644)
    return "".join(caught.value.problems)


def test_must_be_said_against_the_real_apis() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {})
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["create.contacts", "create.customers"]


def test_defaults_to_all_on_the_side_that_is_a_sandbox(file: Path) -> None:
    text = ALLOWED + '[stripe]\nbase_url = "http://127.0.0.1:1"\n'
    assert "create.contacts: must be set" in only_problem(file, text)
    config = read(file, text + '[hubspot]\nbase_url = "http://127.0.0.1:2"\n')
    assert (config.create.customers, config.create.contacts) == ("all", "all")


def test_a_text_is_replaced_wherever_it_stands_and_problems_name_their_place() -> None:
    def lookup(key: str, text: str) -> str:
        if text == "env:ABSENT":
            raise ConfigError(["is not set"])
        return f"{key}={text}"

    data: Table = {"stripe": {"api_key": "k", "rate": 3}, "hubspot": {"secrets": ["one", "env:ABSENT"]}}
    found = resolve(data, lookup)
    assert data == {
        "stripe": {"api_key": "stripe.api_key=k", "rate": 3},
        "hubspot": {"secrets": ["hubspot.secrets=one", None]},
    }
    assert found == [ConfigProblem(("hubspot", "secrets", 1), "is not set")]


def test_a_variable_makes_the_table_that_is_missing() -> None:
    data, locations = Table(), KeyLocations()
    assert list(override(data, {"WANESYNC_STRIPE__RATE": "3", "WANESYNC_TEST_PG": "x"}, locations)) == []
    assert data == {"stripe": {"rate": "3"}}
    assert locations.variables == {("stripe", "rate"): "WANESYNC_STRIPE__RATE"}


def test_a_property_that_two_entries_use_is_found_once() -> None:
    entries = [{"name": "a", "hubspot": ["p", "q"], "stripe": "s"}, {"name": "b", "hubspot": "q", "stripe": "t"}]
    assert [problem.path for problem in find_duplicates({"field": entries})] == [("field", 1, "hubspot")]
    assert list(find_duplicates({"field": "no list"})) == []
