"""Mistakes in a configuration that would send a wrong key, write to a wrong place or create people without e-mail."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.config_files import ALLOWED, CREATE, EMAIL_FIELD, FIELD, SEAL, only_problem, problems, read
from wanesync.config.example import read_example
from wanesync.core.errors import ConfigError

NONE = '[create]\ncustomers = "none"\ncontacts = "none"\n'
ALL = '[create]\ncustomers = "all"\ncontacts = "all"\n'

# -- the field map


@pytest.mark.case(30)
@pytest.mark.parametrize("create", [CREATE, NONE, ALL])
def test_a_field_map_without_the_address_is_refused(file: Path, create: str) -> None:
    problem = only_problem(file, create + FIELD.format(1))
    assert problem.startswith("wanesync.toml:4: field: has no entry for the e-mail address")
    assert 'stripe = "email"' in problem


@pytest.mark.parametrize(
    "ends", ['hubspot = "work_email"\nstripe = "email"', 'hubspot = "email"\nstripe = "metadata.mail"']
)
def test_an_address_that_one_side_keeps_elsewhere_is_refused(file: Path, ends: str) -> None:
    text = CREATE + f'[[field]]\nname = "email"\n{ends}\ntransform = "email"\n'
    assert "has no entry for the e-mail address" in only_problem(file, text)


@pytest.mark.parametrize(
    ("create", "direction", "expected"),
    [
        (ALL, "to_stripe", "written to hubspot"),
        (ALL, "to_hubspot", "written to stripe"),
        (CREATE, "to_hubspot", "written to stripe"),
        (CREATE, "to_stripe", ""),
        (NONE, "to_stripe", ""),
        (NONE, "to_hubspot", ""),
    ],
)
def test_the_address_must_reach_each_side_on_which_people_are_created(
    file: Path, create: str, direction: str, expected: str
) -> None:
    text = create + EMAIL_FIELD + f'direction = "{direction}"\n'
    if not expected:
        assert read(file, text).specs[0].name == "email"
        return
    problem = only_problem(file, text)
    assert "field[1].direction: must be" in problem
    assert expected in problem


def test_an_address_in_another_form_is_refused(file: Path) -> None:
    text = CREATE + EMAIL_FIELD.replace('transform = "email"', 'transform = "upper"')
    assert 'field[1].transform: must be "email"' in only_problem(file, text)


@pytest.mark.parametrize("other", ["jobtitle", "JobTitle"])
def test_a_property_that_is_mapped_twice_is_refused_in_any_case(file: Path, other: str) -> None:
    entries = [("a", "jobtitle", "metadata.a"), ("b", other, "metadata.b")]
    text = "".join(f'[[field]]\nname = "{n}"\nhubspot = "{h}"\nstripe = "{s}"\n' for n, h, s in entries)
    assert "field[3].hubspot: jobtitle is taken by entry number 2" in only_problem(file, CREATE + EMAIL_FIELD + text)


@pytest.mark.parametrize("name", ["wanesync_intent", "stripe_customer_id", "hs_object_id", "hs_additional_emails"])
def test_a_property_that_wanesync_needs_itself_cannot_be_mapped(file: Path, name: str) -> None:
    text = CREATE + EMAIL_FIELD + f'[[field]]\nname = "x"\nhubspot = "{name}"\nstripe = "metadata.x"\n'
    assert "is kept by wanesync itself" in only_problem(file, text)


def test_the_entry_of_the_address_is_called_email(file: Path) -> None:
    text = CREATE + EMAIL_FIELD.replace('name = "email"', 'name = "mail"')
    assert 'field[1].name: must be "email" for the e-mail address' in only_problem(file, text)


# -- the database


@pytest.mark.case(31)
@pytest.mark.parametrize("written", ["sqlite:///state.db", "sqlite:state.db", "sqlite:./state.db"])
def test_a_relative_database_is_beside_the_configuration(file: Path, written: str) -> None:
    assert read(file, f'database = "{written}"\n{CREATE}').database == f"sqlite:{file.parent / 'state.db'}"


@pytest.mark.parametrize("written", ["sqlite:////srv/wanesync/state.db", "sqlite:/srv/wanesync/state.db"])
def test_an_absolute_database_stays_where_it_is(file: Path, written: str) -> None:
    assert read(file, f'database = "{written}"\n{CREATE}').database == "sqlite:/srv/wanesync/state.db"


@pytest.mark.parametrize("source", ["file", "env", "reference"])
@pytest.mark.parametrize(
    "written",
    ["sqlite://state.db", "sqlite:///data/state.db", "sqlite:/state.db", "sqlite:////state.db", "sqlite:a?x=1"],
)
def test_a_database_at_the_root_of_the_disk_or_of_unclear_place_is_refused(
    file: Path, written: str, source: str
) -> None:
    env = {"env": {"WANESYNC_DATABASE": written}, "reference": {"URL": written}}.get(source, {})
    value = {"file": written, "reference": "env:URL"}.get(source, "sqlite:other.db")
    assert "database: " in only_problem(file, f'database = "{value}"\n{CREATE}', env)


def test_a_relative_database_of_the_environment_is_never_at_the_root(file: Path) -> None:
    assert read(file, CREATE, {"WANESYNC_DATABASE": "sqlite:///state.db"}).database == "sqlite:state.db"


def test_a_home_directory_is_expanded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert read(file, f'database = "sqlite:~/state.db"\n{CREATE}').database == "sqlite:/home/ann/state.db"


# -- keys


@pytest.mark.case(32)
@pytest.mark.parametrize(
    "key", ["hubspot.access_token", "hubspot.webhook_secret", "stripe.api_key", "stripe.webhook_secret"]
)
@pytest.mark.parametrize("value", ["ssm:/prod/hubspot", "op://vault/planted", "${PLANTED}"])
def test_a_reference_that_nothing_resolves_is_refused(file: Path, key: str, value: str) -> None:
    section, name = key.split(".")
    problem = only_problem(file, f'{CREATE}[{section}]\n{name} = "{value}"\n')
    assert f"wanesync.toml:5: {key}" in problem
    assert "not resolved here" in problem
    assert "planted" not in problem.lower()


def test_a_reference_inside_a_reference_is_refused(file: Path) -> None:
    text = f'{CREATE}[hubspot]\naccess_token = "env:TOKEN"\n'
    assert "not resolved here" in only_problem(file, text, {"TOKEN": "vault:hubspot"})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("hubspot.access_token", "sk_test_planted", "begins with sk_test_ as Stripe's keys do"),
        ("hubspot.access_token", "whsec_planted", "begins with whsec_"),
        ("hubspot.webhook_secret", "whsec_planted", "begins with whsec_"),
        ("stripe.api_key", "pat-na1-planted", "must be a secret or restricted key"),
        ("stripe.api_key", "pk_live_planted", "must be a secret or restricted key"),
        ("stripe.webhook_secret", "sk_test_planted", "must be the signing secret"),
        ("stripe.webhook_secret", "planted", "must be the signing secret"),
        ("hubspot.access_token", "pat-na1 planted", "holds a blank"),
        ("hubspot.access_token", "pat-na1-plantéd", "holds a character that no key has"),
        ("hubspot.webhook_secret", "pat-na1-planted", "begins with pat- as access tokens do"),
        ("hubspot.access_token", " pat-na1-planted", "holds a blank"),
        ("hubspot.access_token", "pat-na1-planted\\u00a0", "holds a blank"),
        ("hubspot.access_token", "pat-na1-planted\\tX", "holds a blank"),
        ("hubspot.access_token", "\\u200bpat-na1-planted", "holds an invisible character (U+200B)"),
        ("stripe.api_key", "sk_test_planted\\ufeff", "holds an invisible character (U+FEFF)"),
        ("stripe.api_key", "sk_test_planted\\u0007", "holds an invisible character (U+0007)"),
        ("stripe.api_key", "sk_test_planted\\nX-Other: 1", "holds a line break"),
        ("stripe.api_key", "'sk_test_planted'", "holds a quotation mark"),
        ("stripe.webhook_secret", "\\u201cwhsec_planted\\u201d", "holds a quotation mark"),
        ("hubspot.access_token", "01234567-89AB-cdef-0123-456789abcdef", "has the form of the app's client secret"),
        ("hubspot.access_token", "", "is empty: give it a value, or leave the key out"),
        ("stripe.webhook_secret", "", "is empty"),
    ],
)
def test_a_key_of_another_kind_is_refused_and_not_shown(file: Path, key: str, value: str, expected: str) -> None:
    section, name = key.split(".")
    problem = only_problem(file, f'{CREATE}[{section}]\n{name} = "{value}"\n')
    assert problem.startswith(f"wanesync.toml:5: {key}")
    assert expected in problem
    assert "plant" not in problem


@pytest.mark.parametrize(
    "line",
    [
        "[server]\nport = true",
        "[hubspot]\nrate = true",
        "[hubspot]\nportal_id = false",
        '[hubspot]\nportal_id = "abc"',
        "[server]\nhost = 5",
        '[server]\nhost = ""',
        "[log]\nlevel = 3",
        "[purchases]\nsink = 1",
        "[worker]\ncatch_up_minutes = 1.5",
        "[stripe]\nwebhook_secret = [1]",
        "[stripe]\napi_key = 5",
        "[brake]\npeople = []",
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_its_line(file: Path, line: str) -> None:
    (problem,) = problems(file, CREATE + line + "\n")
    assert problem.startswith("wanesync.toml:5: ")
    assert ": must" in problem or ": is empty" in problem


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('[field]\nname = "x"', "wanesync.toml:4: field: must be written [[field]], in two brackets"),
        ('[server]\nport = "80a"', "server.port: must be a whole number"),
        ('[stripe]\nrate = "fast"', "stripe.rate: must be a number"),
        ("[stripe]\napi_key = 5", "stripe.api_key: must be a text in quotes"),
        ("[hubspot]\nown_source_ids = 5", "hubspot.own_source_ids: must be a text in quotes, or a list of such texts"),
        (EMAIL_FIELD + 'fill_empty = "maybe"', "field[1].fill_empty: must be true or false"),
    ],
)
def test_a_message_says_what_to_write(file: Path, line: str, expected: str) -> None:
    assert expected in only_problem(file, CREATE + line + "\n")


@pytest.mark.parametrize("text", ["hubspot = 5", "field = 3", "create = []", 'stripe = "x"'])
def test_a_table_that_is_none_is_named(file: Path, text: str) -> None:
    assert any(problem.startswith("wanesync.toml:1: ") for problem in problems(file, text + "\n"))


def test_the_example_has_none_of_these_mistakes(file: Path) -> None:
    env = {
        "HUBSPOT_ACCESS_TOKEN": "pat-na1-x",
        "HUBSPOT_WEBHOOK_SECRET": "0a1b",
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_WEBHOOK_SECRET": "whsec_x",
    }
    found = problems(file, read_example(), env)
    assert [problem for problem in found if "create." not in problem] == []


def test_a_live_key_of_stripe_never_meets_a_sandbox_of_hubspot(file: Path) -> None:
    text = CREATE + ALLOWED + '[hubspot]\nbase_url = "http://127.0.0.1:1"\n[stripe]\napi_key = "sk_live_planted"\n'
    problem = only_problem(file, text)
    assert "wanesync.toml:9: stripe.api_key: is a live key, but hubspot.base_url is a sandbox" in problem
    assert "planted" not in problem


# -- a file that others can read


LITERAL = '[stripe]\napi_key = "sk_test_planted"\n'


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('[stripe]\napi_key = "sk_test_planted"', "stripe.api_key"),
        ('[stripe]\nwebhook_secret = ["env:ONE", "whsec_planted"]', "stripe.webhook_secret"),
        ('[hubspot]\naccess_token = "pat-na1-planted"', "hubspot.access_token"),
        ('[hubspot]\nwebhook_secret = "planted"', "hubspot.webhook_secret"),
        (f'[security]\nkeys = ["abcd:{SEAL}"]', "security.keys"),
    ],
)
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_a_file_that_others_can_read_holds_no_secret_itself(file: Path, line: str, key: str, mode: int) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, f"{CREATE}{line}\n", {"ONE": "whsec_one"}, mode=mode)
    (problem,) = caught.value.problems
    assert problem.startswith(f"wanesync.toml:5: {key}: is a secret in a file that can be read by others")
    assert f"chmod 600 {file}" in problem
    assert "planted" not in problem


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_file_that_only_this_process_can_read_holds_secrets(file: Path, mode: int) -> None:
    assert read(file, CREATE + LITERAL, mode=mode).stripe.mode == "test"


def test_a_file_that_others_can_read_holds_references(file: Path) -> None:
    text = CREATE + '[stripe]\napi_key = "env:KEY"\n[security]\nkeys = []\n'
    assert read(file, text, {"KEY": "sk_test_planted"}, mode=0o644).stripe.mode == "test"
    assert read(file, f'database = "postgresql://ann@/d"\n{CREATE}[security]\nkeys = "env:SEAL"\n',
                {"SEAL": f"abcd:{SEAL}"}, mode=0o644).database == "postgresql://ann@/d"  # fmt: skip


@pytest.mark.parametrize("address", ["postgresql://ann:planted@[::1]/d", "postgresql://ann@/d?password=planted"])
def test_a_file_that_others_can_read_holds_no_password_of_the_database(file: Path, address: str) -> None:
    text = f'database = "{address}"\n{CREATE}[security]\nkeys = "env:SEAL"\n'
    env = {"SEAL": f"abcd:{SEAL}"}
    with pytest.raises(ConfigError, match=r"wanesync.toml:1: database: is a secret in a file that") as caught:
        read(file, text, env, mode=0o644)
    assert "planted" not in str(caught.value)
    assert read(file, text, env).database == address


def test_a_configuration_of_another_user_holds_no_secret(file: Path) -> None:
    file.write_text(CREATE + LITERAL)
    os.chown(file, 54_321, 0)
    with pytest.raises(ConfigError, match="belongs to user 54321, not to this process's user"):
        read(file, CREATE + LITERAL)


# -- secrets that a process does not use


def test_a_secret_that_is_not_used_is_not_resolved(file: Path) -> None:
    text = (
        f'{CREATE}[hubspot]\naccess_token = "env:ABSENT"\nwebhook_secret = ["env:ABSENT", "env:OTHER"]\n'
        '[stripe]\napi_key = "env:KEY"\nwebhook_secret = "file:absent"\n'
    )
    config = read(file, text, {"KEY": "sk_test_planted"}, ["stripe.api_key"])
    assert config.stripe.require_key() == "sk_test_planted"
    assert (config.hubspot.access_token, config.hubspot.webhook_secrets, config.stripe.webhook_secrets) == (
        None,
        [],
        [],
    )
    assert len(problems(file, text)) == 5


def test_a_secret_of_the_environment_that_is_not_used_is_not_resolved(file: Path) -> None:
    env = {"WANESYNC_STRIPE__API_KEY": "file:absent", "WANESYNC_HUBSPOT__WEBHOOK_SECRET": '["env:ABSENT"]'}
    assert read(file, CREATE, env, []).stripe.api_key is None


@pytest.mark.parametrize("value", ["ssm:/prod/stripe", "sk_test_plan ted", "pk_test_planted"])
def test_a_mistake_in_a_secret_that_is_not_used_is_named_all_the_same(file: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"stripe\.api_key"):
        read(file, f'{CREATE}[stripe]\napi_key = "{value}"\n', uses=[])


# -- passwords of databases


@pytest.mark.parametrize(
    "login",
    ["ann:pl@nted", "ann:pl/nted", "ann:pl?nted", "ann:pl#nted", "ann:pl%nted", "ann:pl:nted", "ann:pl nted", "an@n:x"],
)
def test_an_unencoded_password_is_named_and_not_shown(file: Path, login: str) -> None:
    address = f"postgresql://{login}@db.example.com:5432/wanesync"
    problem = only_problem(file, f'database = "{address}"\n{CREATE}[security]\nkeys = "abcd:{SEAL}"\n')
    assert "wanesync.toml:1: database: holds a user name or a password with a character that must be written" in problem
    assert not {"nted", "db.example.com", "pl"} & set(re.split(r"[^a-z.]+", problem))


def test_an_encoded_password_is_accepted(file: Path) -> None:
    address = "postgresql://ann:pl%40n%2Ft%25ed@db.example.com:5432/wanesync?sslmode=verify-full"
    assert read(file, f'database = "{address}"\n{CREATE}[security]\nkeys = "abcd:{SEAL}"\n').database == address


@pytest.mark.parametrize(
    "address", ["sqlite+pysqlite:///x.db", "postgresql+psycopg://ann:planted@h/d", "mysql://h/d", "sqlite:"]
)
def test_an_address_of_another_program_is_refused(file: Path, address: str) -> None:
    problem = only_problem(file, f'database = "{address}"\n{CREATE}')
    assert "must be sqlite:FILE or postgresql://" in problem
    assert "planted" not in problem


def test_a_signing_secret_that_is_not_there_is_named_with_the_command_that_writes_it(file: Path) -> None:
    found = only_problem(file, CREATE + '[stripe]\nwebhook_secret = "file:absent"')
    assert found.endswith("must exist and be readable (wanesync webhooks stripe create writes it)")


@pytest.mark.parametrize("address", ["db.example.com/d", "10.1.2.3/d?sslmode=require", "/d?host=pg", "/d?service=live"])
def test_a_postgres_beyond_this_machine_must_prove_who_it_is(file: Path, address: str) -> None:
    text = f'database = "postgresql://ann:planted@{address}"\n{CREATE}[security]\nkeys = "abcd:{SEAL}"\n'
    problem = only_problem(file, text)
    assert "wanesync.toml:1: database: a network leads to " in problem
    assert "add sslmode=verify-full" in problem
    assert "planted" not in problem
    near = f'{text}[network]\nprivate = ["10.0.0.0/8", "pg", "db.example.com"]\n'
    assert read(file, near).database if "service" not in address else only_problem(file, near)


@pytest.mark.parametrize(
    ("network", "text"), [("10.0.0.1/8", "must be a network"), ("8.8.8.0/24", "is a public network")]
)
def test_only_a_private_network_needs_no_proof(file: Path, network: str, text: str) -> None:
    assert text in only_problem(file, f'{CREATE}[network]\nprivate = "{network}"\n')


@pytest.mark.parametrize("own", ["/webhooks/hubspot", "/webhooks/stripe"])
def test_the_address_of_one_webhook_is_not_the_public_address(file: Path, own: str) -> None:
    address = f"https://sync.example.com{own}"
    problem = only_problem(file, f'{CREATE}[server]\npublic_url = "{address}"\n')
    assert problem.endswith(f"is the address before {own}, which wanesync adds itself: https://sync.example.com")
    behind = read(file, f'{CREATE}[server]\npublic_url = "https://sync.example.com/webhooks"\n')
    assert behind.server.public_url == "https://sync.example.com/webhooks", "a proxy may have such a path"
