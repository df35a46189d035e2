"""Every problem at once, each with its place; secrets never shown; the example is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from tests.support.config_files import CREATE, SEAL, only_problem, problems, read
from wanesync.config.model import SECTIONS, Config, load
from wanesync.core.errors import ConfigError
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.normalize import FormOptions

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
KEYS = {
    "HUBSPOT_ACCESS_TOKEN": "pat-eu1-planted",
    "HUBSPOT_WEBHOOK_SECRET": "planted-client-secret",
    "STRIPE_API_KEY": "sk_test_planted",
    "STRIPE_WEBHOOK_SECRET": "whsec_planted",
    "DATABASE_PASSWORD": "planted",
}
ANSWERS = {"WANESYNC_CREATE__CUSTOMERS": "none", "WANESYNC_CREATE__CONTACTS": "none"}


class TestExample:
    def test_shows_the_defaults(self) -> None:
        example = load(EXAMPLE, KEYS | ANSWERS)
        plain = load(None, ANSWERS)
        hidden: dict[str, set[str] | bool] = {
            "hubspot": {"access_token", "webhook_secret"}, "stripe": {"api_key", "webhook_secret"}, "field": True,
            "database": True,
        }  # fmt: skip
        assert (example.database, plain.database) == (f"sqlite:{EXAMPLE.parent / 'wanesync.db'}", "sqlite:wanesync.db")
        assert example.model_dump(exclude=hidden) == plain.model_dump(exclude=hidden)
        assert example.specs == plain.specs == DEFAULT_FIELDS

    def test_shows_every_key(self) -> None:
        shown: dict[str, set[str]] = {}
        section = ""
        for line in EXAMPLE.read_text().splitlines():
            if header := re.match(r"\[+(\w+)\]", line):
                section = header[1]
            elif key := re.match(r"(?:# )?(\w+) = ", line):
                shown.setdefault(section, set()).add(key[1])
        expected = {name: set(model.model_fields) for name, model in SECTIONS.items()}
        assert shown == {"": set(Config.model_fields) - set(SECTIONS), **expected}

    def test_forms_follow_the_fields_section(self, file: Path) -> None:
        text = '[fields]\ndefault_country = "de"\nbusiness_names = "list"\n'
        config = read(file, text, ANSWERS)
        assert {spec.options for spec in config.specs} == {FormOptions("DE", "list")}
        assert FieldMap(config.specs).version != FieldMap(DEFAULT_FIELDS).version
        with pytest.raises(ConfigError, match="ISO 3166-1 code of a country"):
            read(file, '[fields]\ndefault_country = "Germany"\n', ANSWERS)

    def test_leaves_creation_to_the_operator(self) -> None:
        with pytest.raises(ConfigError, match=r"create\.customers"):
            load(EXAMPLE, KEYS)

    def test_what_is_commented_out_is_valid_too(self, file: Path) -> None:
        text = re.sub(r"(?m)^# (\w+ = )", r"\1", EXAMPLE.read_text())
        config = read(file, text, KEYS)
        assert (config.hubspot.portal_id, config.stripe.account_id) == (1234567, "acct_1234567890")
        assert config.server.public_url == "https://sync.example.com"


class TestKeyLocations:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"[stripe\n", "toml:1: a bracket of the heading is missing"),
            (b"\xff", "is not UTF-8 text"),
            (b"stripe = 3\n" + CREATE.encode(), "must be a table"),
        ],
    )
    def test_a_file_that_cannot_be_understood(self, file: Path, content: bytes, expected: str) -> None:
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=expected):
            load(file, {})

    def test_a_file_that_is_not_there(self, file: Path) -> None:
        with pytest.raises(
            ConfigError, match=r"cannot be read \(No such file or directory\): make one with wanesync init"
        ):
            load(file, {})


class TestSecrets:
    def test_no_value_in_repr_or_problems(self, file: Path) -> None:
        text = EXAMPLE.read_text() + '\n[[field]]\nname = "BAD"\nhubspot = "x"\nstripe = "y"\n'
        env = {
            **KEYS,
            **ANSWERS,
            "WANESYNC_STRIPE__API_KEY": "pk_test_planted",
            "WANESYNC_SECURITY__KEYS": "abcd:planted",
        }
        found = problems(file, text, env)
        assert len(found) == 4
        assert "planted" not in "\n".join(found)
        config = read(
            file,
            CREATE,
            {"WANESYNC_DATABASE": "sqlite:planted", "WANESYNC_STRIPE__API_KEY": "sk_test_planted"},
        )
        assert "planted" not in repr(config)
        assert "planted" not in str(config)

    def test_files_of_secrets_must_be_private_others_need_not(self, file: Path) -> None:
        for name, content in {"key": "sk_test_x", "port": "4242"}.items():
            file.with_name(name).write_text(content)
            file.with_name(name).chmod(0o644)
        text = CREATE + '[server]\nport = "file:port"\n[stripe]\napi_key = "file:key"\n'
        assert "wanesync.toml:7: stripe.api_key: file:" in (problem := only_problem(file, text))
        assert "can be read by others" in problem
        file.with_name("key").chmod(0o600)
        assert read(file, text).server.port == 4242

    def test_sealing_keys(self, file: Path) -> None:
        env = {"OLD": f"old1:{SEAL}"}
        config = read(file, CREATE + f'[security]\nkeys = ["new1:{SEAL}", "env:OLD"]\n', env)
        assert config.security.entries == (f"new1:{SEAL}", f"old1:{SEAL}")

    def test_sealing_keys_of_one_id_are_refused(self, file: Path) -> None:
        assert "used twice" in only_problem(file, CREATE + f'[security]\nkeys = ["abcd:{SEAL}", "abcd:{SEAL}"]\n')

    def test_a_key_file_stands_beside_the_configuration_and_instead_of_keys(self, file: Path) -> None:
        postgres = 'database = "postgresql://localhost/d"\n'
        config = read(file, postgres + CREATE + '[security]\nkey_file = "wanesync.keys"\n')
        assert config.security.key_file == str(file.parent / "wanesync.keys")
        both = CREATE + f'[security]\nkeys = ["abcd:{SEAL}"]\nkey_file = "wanesync.keys"\n'
        assert "one place" in only_problem(file, both)

    def test_a_changed_list_of_keys_is_read_again(self, file: Path) -> None:
        config = read(file, CREATE + f'[security]\nkeys = ["old1:{SEAL}"]\n')
        file.write_text(CREATE + f'[security]\nkeys = ["new1:{SEAL}", "old1:{SEAL}"]\n')
        assert config.read_again().security.entries == (f"new1:{SEAL}", f"old1:{SEAL}")

    def test_require_names_all_that_is_missing(self, file: Path) -> None:
        config = read(file, CREATE, {"WANESYNC_STRIPE__API_KEY": "sk_test_x"})
        config.require("stripe.api_key")
        with pytest.raises(ConfigError) as caught:
            config.require("stripe.api_key", "hubspot.access_token", "hubspot.webhook_secret")
        assert [problem.split(":")[0] for problem in caught.value.problems] == [
            "hubspot.access_token",
            "hubspot.webhook_secret",
        ]
        assert "WANESYNC_HUBSPOT__ACCESS_TOKEN" in str(caught.value)


def test_nothing_changes_after_loading(file: Path) -> None:
    config = read(file, CREATE)
    models: list[BaseModel] = [config, config.stripe, config.create]
    for model in models:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, next(iter(type(model).model_fields)), "x")
