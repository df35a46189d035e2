"""Single values of a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.support.config_files import ALLOWED, CREATE, SEAL, only_problem, problems, read
from wanesync.config.value_types import (
    RESERVED_NAMES,
    Address,
    Property,
    Section,
    StripeKey,
    StripePath,
    as_tuple,
    is_loopback,
)


@pytest.mark.parametrize("key", ["planted", "abcd:planted", ":" + SEAL[:43] + "=", "abcd:" + SEAL[:40], "a b:" + SEAL])
def test_a_sealing_key_of_another_form_is_refused(file: Path, key: str) -> None:
    assert "must be id:key" in only_problem(file, CREATE + f'[security]\nkeys = ["{key}"]\n')


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "ftp://127.0.0.1",
        "api.example.com",
        "https://a@b",
        "https://x:y",
        "https://x/?",
        "http://[::1",
    ],
)
def test_addresses_that_are_refused(file: Path, url: str) -> None:
    refused = [
        problem.partition(": ")[2] for problem in problems(file, CREATE + ALLOWED + f'[hubspot]\nbase_url = "{url}"\n')
    ]
    assert [problem.split(":")[0] for problem in refused] == ["hubspot.base_url"]


def test_public_url_is_what_is_signed(file: Path) -> None:
    text = CREATE + '[server]\npublic_url = "{}"\n'
    assert read(file, text.format("https://x.example/wane/")).server.public_url == "https://x.example/wane"
    for url in ("https://x.example/?a=1", "https://x.example/#a", "http://x.example"):
        assert "server.public_url: must" in only_problem(file, text.format(url))


@pytest.mark.parametrize("database", ["sqlite:", "postgres://h/d", "mysql://h/d", "wanesync.db", ""])
def test_databases_that_are_refused(file: Path, database: str) -> None:
    assert "must be sqlite:FILE or postgresql://" in only_problem(file, f'database = "{database}"\n' + CREATE)


@pytest.mark.parametrize(
    "url",
    ["mqtt://broker.example", "mqtt://10.0.0.5:1883", "mqtt://0.0.0.0", "mqtt://localhost.example", "mqtt://[::]"],
)
def test_a_broker_beyond_this_machine_needs_tls(file: Path, url: str) -> None:
    text = CREATE + '[bus]\nurl = "{}"\n'
    assert "bus.url: must be mqtts://HOST:PORT (mqtt:// only for" in only_problem(file, text.format(url))
    for allowed in (url.replace("mqtt:", "mqtts:"), "mqtt://127.0.0.1", "mqtt://localhost:1883", "mqtt://[::1]"):
        assert read(file, text.format(allowed)).bus.url == allowed


@pytest.mark.parametrize("value", ["0", "-1", "1000.1", "nan", "inf", '"fast"'])
@pytest.mark.parametrize("key", ["hubspot.rate", "hubspot.search_rate", "stripe.rate"])
def test_rates_that_are_refused(file: Path, key: str, value: str) -> None:
    section, name = key.split(".")
    assert f"wanesync.toml:5: {key}: must be" in only_problem(file, f"{CREATE}[{section}]\n{name} = {value}\n")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:1", True), ("http://127.9.9.9", True), ("https://[::1]/x", True), ("http://[::1", False),
        ("https://api.stripe.com", False), ("https://localhost.example", False), ("", False),
    ],
)  # fmt: skip
def test_only_addresses_of_this_machine_are_loopback(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


def test_a_single_text_counts_as_a_list_of_one() -> None:
    assert [as_tuple(value) for value in ("one", ["one"], 1)] == [("one",), ["one"], 1]


def test_an_address_loses_its_last_slash() -> None:
    assert TypeAdapter(Address).validate_python("https://x.example/a/") == "https://x.example/a"


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_a_name_that_wanesync_writes_itself_cannot_be_mapped(name: str) -> None:
    adapter = TypeAdapter[str](StripePath if name.startswith("metadata.") else Property)
    with pytest.raises(ValidationError, match="kept by wanesync itself"):
        adapter.validate_python(name)


def test_a_value_that_is_refused_is_not_shown() -> None:
    class Keys(Section):
        api_key: StripeKey

    with pytest.raises(ValidationError) as caught:
        Keys.model_validate({"api_key": "pk_test_planted"})
    assert "must be a secret or restricted key" in str(caught.value)
    assert "planted" not in str(caught.value)
