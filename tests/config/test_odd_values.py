"""Values that no configuration should hold: each is refused in one sentence with its key, and no part of a secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.config_files import ALLOWED, CREATE, EMAIL_FIELD, FIELD, only_problem, problems, read

LIBRARY = re.compile(r"pydantic|Errno|pattern|cast to|unable|Tuple|IPv6 URL|netloc|NFKC|embedded|decod", re.IGNORECASE)
TOKEN = '[hubspot]\naccess_token = "{}"\n'
KEY = "pat-eu1-HIDDEN"


def refused(file: Path, text: str, key: str, env: dict[str, str] | None = None) -> str:
    """Return the one problem, which is one line, names its key and holds nothing of a library or a secret."""
    problem = only_problem(file, text, env)
    assert f"{key}: " in problem
    assert "\n" not in problem
    assert "HIDDEN" not in problem
    assert not LIBRARY.search(problem), problem
    return problem


# -- references


@pytest.mark.parametrize("reference", ["file:~nobody-of-this-name/key", r"file:a\u0000b", r"file:\u0000"])
def test_a_path_that_cannot_be_one_is_refused(file: Path, reference: str) -> None:
    assert "file:" in refused(file, CREATE + TOKEN.format(reference), "hubspot.access_token")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (r"x\u0000.db", "a path without invisible characters"),
        ("~nobody-of-this-name/x.db", "no such folder is known"),
        (" x.db", "begins or ends with a blank"),
        ("x.db ", "begins or ends with a blank"),
        (r"a\nb.db", "a path without invisible characters"),
        (r"\u001b]8;;x.db", "a path without invisible characters"),
    ],
)
def test_a_path_of_a_database_that_cannot_be_one_is_refused(file: Path, name: str, expected: str) -> None:
    value = f"sqlite:{name}".encode().decode("unicode_escape")
    assert expected in refused(file, CREATE, "database", {"WANESYNC_DATABASE": value})
    assert expected in refused(file, f'database = "sqlite:{name}"\n{CREATE}', "database")


@pytest.mark.parametrize("address", ["sqlite::memory:", "sqlite:///:memory:", "sqlite:///", "sqlite:////", "sqlite:/"])
def test_a_database_that_is_no_file_is_refused(file: Path, address: str) -> None:
    expected = "must be a file" if "memory" in address else "must be sqlite:FILE"
    assert expected in refused(file, f'database = "{address}"\n{CREATE}', "database")
    assert expected in refused(file, CREATE, "database", {"WANESYNC_DATABASE": address})


@pytest.mark.parametrize("scheme", ["env", "file"])
@pytest.mark.parametrize("key", [KEY, "sk_live_HIDDEN", "rk_test_HIDDEN", "whsec_HIDDEN"])
def test_a_key_behind_the_scheme_of_a_reference_is_not_shown(file: Path, scheme: str, key: str) -> None:
    assert "a key itself" in refused(file, CREATE + TOKEN.format(f"{scheme}:{key}"), "hubspot.access_token")


@pytest.mark.parametrize("name", ["", "A B", "0HIDDEN", "HIDDEN-1234-5678", "${HIDDEN}", "HIDDEN=x", r"HIDDEN\u0000"])
def test_what_is_no_name_of_a_variable_is_not_shown(file: Path, name: str) -> None:
    assert "the name of a variable" in refused(file, CREATE + TOKEN.format(f"env:{name}"), "hubspot.access_token")


# -- secrets


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("HUBSPOT_TOKEN=pat-eu1-HIDDEN", "="),
        ("pat-eu1-HIDDEN;", ";"),
        ("pat-eu1-HIDDEN,pat-eu1-HIDDEN", ","),
        ("pat-****HIDDEN", "*"),
        ("pat-eu1-HIDDEN)", ")"),
    ],
)
def test_characters_that_no_key_has_are_named(file: Path, value: str, expected: str) -> None:
    assert f"holds {expected}" in refused(file, CREATE + TOKEN.format("env:T"), "hubspot.access_token", {"T": value})


def test_the_padding_of_a_key_in_base64_is_no_flaw(file: Path) -> None:
    config = read(file, CREATE + TOKEN.format("CJT-a_b.c~d+e/f=="))
    assert config.hubspot.require_token() == "CJT-a_b.c~d+e/f=="


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("pat-eu1-HIDDEN = 1\n[create]\ncustomers = 'all'\ncontacts = 'none'\n", "***"),
        (CREATE + '[stripe]\nsk_live_HIDDEN = "x"\n', "stripe.***"),
    ],
)
def test_a_key_in_the_place_of_a_name_is_not_shown(file: Path, text: str, key: str) -> None:
    assert f"{key}: is unknown: one of " in refused(file, text, key)


def test_a_name_with_a_line_break_stays_on_one_line(file: Path) -> None:
    assert r"a\nb: is unknown: one of " in refused(file, '"a\\nb" = 1\n' + CREATE, r"a\nb")


# -- addresses


@pytest.mark.parametrize(
    "address",
    [
        "https://s.example:abc", "https://s.example:99999", "https://s.example:+443", "https://s.example:",
        "https://u:HIDDEN@s.example", "https://u:HIDDEN/x@s.example", "https://u:x/HIDDEN@s.example:y",
        "https://[::1", "https://[x]", "https://s.example\u2100x", "https://bücher.example", "https://s.example/ä",
        "https://a b", r"https://a\tb", r"https://a\nb", r"https://s.example/\u0000", r"https://s.example\\x",
        "  https://s.example", "https://s.example ", "https://.", "https://a..b", "https://*.example",
        "https://{host}", "https://$HOST", "https://-a.example", "https://" + "a" * 64 + ".example", "https://<host>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["server.public_url", "hubspot.base_url", "stripe.base_url"])
def test_an_address_that_cannot_be_called_is_refused(file: Path, address: str, key: str) -> None:
    section, _, name = key.partition(".")
    assert f"{key}: " in refused(file, CREATE + ALLOWED + f'[{section}]\n{name} = "{address}"\n', key)


def test_half_a_character_in_an_address_is_refused(file: Path) -> None:
    problem = refused(file, CREATE, "server.public_url", {"WANESYNC_SERVER__PUBLIC_URL": "https://\udcff"})
    assert "a character that no address has" in problem


@pytest.mark.parametrize(
    "address",
    ["https://[2001:db8::1]:8443/p", "https://xn--bcher-kva.example.", "https://1.2.3.4/a%20b", "https://a_b.example"],
)
def test_addresses_that_can_be_called_are_accepted(file: Path, address: str) -> None:
    assert read(file, CREATE + f'[server]\npublic_url = "{address}"\n').server.public_url == address


# -- the environment and numbers


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("STRIPE__API_KEY__X", "HIDDEN", "stripe.api_key.x"),
        ("HUBSPOT__WEBHOOK_SECRET", "[" * 100_000, "hubspot.webhook_secret"),
        ("HUBSPOT__PORTAL_ID", "1" * 5_000, "hubspot.portal_id"),
        ("HUBSPOT__PORTAL_ID", "1" * 400, "hubspot.portal_id"),
        ("SERVER__HOST", "\udcff", "server.host"),
        ("SERVER__HOST", "a b", "server.host"),
        ("SERVER__HOST", "http://x", "server.host"),
        ("STRIPE__ACCOUNT_ID", "acct_1\n", "stripe.account_id"),
        ("PURCHASES__EVENT_NAME", "Total", "purchases.event_name"),
        ("RETENTION__EVENT_DAYS", "9" * 30, "retention.event_days"),
        ("RETENTION__JOURNAL_DAYS", "40000", "retention.journal_days"),
        ("BRAKE__PEOPLE", "9" * 30, "brake.people"),
        ("BRAKE__TURNS", "9" * 30, "brake.turns"),
        ("STRIPE__MONTHLY_READS", "9" * 30, "stripe.monthly_reads"),
    ],
)
def test_odd_overrides_are_refused(file: Path, name: str, value: str, key: str) -> None:
    text = CREATE + '[stripe]\napi_key = "sk_test_x"\n'
    assert refused(file, text, key, {f"WANESYNC_{name}": value}).startswith(f"WANESYNC_{name}: ")


def test_a_number_of_thousands_of_digits_is_refused(file: Path) -> None:
    problem = only_problem(file, CREATE + "[hubspot]\nrate = " + "9" * 5_000 + "\n")
    assert problem.startswith("wanesync.toml:5: hubspot.rate: ")
    assert not LIBRARY.search(problem)


# -- the field map


@pytest.mark.parametrize(
    "line",
    ['name = "Job Title"', 'stripe = ["description", "phone"]', 'stripe = "metadata.a\\nb"', 'stripe = "metadata. a"',
     'stripe = "metadata.a\\u202e"', 'hubspot = "HS_Object_ID"'],
)  # fmt: skip
def test_odd_entries_of_the_field_map_are_refused(file: Path, line: str) -> None:
    lines = ['name = "job"', 'hubspot = "jobtitle"', 'stripe = "metadata.job"']
    key = line.partition(" ")[0]
    entry = "\n".join(line if one.startswith(key) else one for one in lines)
    found = only_problem(file, f"{CREATE}{EMAIL_FIELD}[[field]]\n{entry}\n")
    assert f"field[2].{key}" in found
    assert not LIBRARY.search(found)


def test_more_metadata_keys_than_stripe_keeps_are_refused(file: Path) -> None:
    def text(count: int) -> str:
        return CREATE + EMAIL_FIELD + "".join(FIELD.format(number) for number in range(count))

    assert len(read(file, text(48)).specs) == 49
    (found,) = problems(file, text(49))
    assert "field[50].stripe: " in found
    assert "48" in found
