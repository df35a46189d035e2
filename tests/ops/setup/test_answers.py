"""A configuration from answers: the example with values in it, secrets in files of their own."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from wanesync.config.example import read_example
from wanesync.config.model import load
from wanesync.core.errors import ConfigError
from wanesync.ops.setup.answers import FILES, Answers, choose_port, fill_example, find_pending, write_configuration

CREATE = {"create.customers": "all", "create.contacts": "none"}


def test_answers_stand_in_the_example_where_it_explains_them() -> None:
    values = CREATE | {"database": "sqlite:state.db", "fields.default_country": "DE", "stripe.api_key": "env:KEY"}
    text = fill_example(read_example(), values)
    found = tomllib.loads(text)
    assert (found["database"], found["fields"]["default_country"]) == ("sqlite:state.db", "DE")
    assert found["create"] == {"customers": "all", "contacts": "none"}
    assert found["stripe"]["api_key"] == "env:KEY"
    assert len(text.splitlines()) == len(read_example().splitlines()), "every explanation stays"


def test_a_public_address_of_this_machine_is_listened_at() -> None:
    here = choose_port(Answers(values={"server.public_url": "http://127.0.0.1:9001"}))
    assert tomllib.loads(fill_example(read_example(), here.values))["server"]["port"] == 9001
    for address in ("https://sync.example.com:8443", "http://localhost"):
        answers = Answers(values={"server.public_url": address})
        assert choose_port(answers) == answers, "something stands in front"
    assert choose_port(Answers()) == Answers()


def test_a_text_is_quoted() -> None:
    found = tomllib.loads(fill_example(read_example(), {"stripe.api_key": 'a"b\\c'}))
    assert found["stripe"]["api_key"] == 'a"b\\c'


def test_an_answer_the_example_does_not_know_is_a_defect() -> None:
    with pytest.raises(KeyError, match=r"no stripe\.colour"):
        fill_example(read_example(), {"stripe.colour": "red"})


def test_typed_secrets_go_into_private_files_and_the_others_are_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.toml"
    answers = Answers({"stripe.api_key": "rk_test_1", "hubspot.access_token": "env:TOKEN"}, CREATE)
    assert write_configuration(path, answers) == [tmp_path / FILES["stripe.api_key"], path]
    for written in (path, tmp_path / FILES["stripe.api_key"]):
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert "rk_test_1" not in path.read_text()
    assert find_pending(path, {}) == {
        "hubspot.access_token": "the variable TOKEN",
        "hubspot.webhook_secret": str(tmp_path / FILES["hubspot.webhook_secret"]),
        "stripe.webhook_secret": str(tmp_path / FILES["stripe.webhook_secret"]),
    }
    assert "hubspot.access_token" not in find_pending(path, {"TOKEN": "pat-1"})
    config = load(path, {"TOKEN": "pat-1"}, {"hubspot.access_token", "stripe.api_key"})
    assert config.stripe.require_key() == "rk_test_1"
    assert repr(answers).count("rk_test_1") == 0


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.toml"
    key = tmp_path / FILES["stripe.api_key"]
    key.parent.mkdir()
    key.write_text("of before")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        write_configuration(path, Answers({"stripe.api_key": "rk_test_1"}, CREATE))
    assert (key.read_text(), path.exists()) == ("of before", False)
