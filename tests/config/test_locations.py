"""The place of each key, as problems name it."""

from __future__ import annotations

from pathlib import Path

from tests.support.config_files import CREATE, FIELD, only_problem, problems
from wanesync.config.locations import ConfigProblem, KeyLocations, find_lines, format_key, variable_name

MUST_BE_SET = 'create.contacts: must be set: "all" creates contacts for customers that have none, "none" does not'


def test_all_problems_at_once_with_their_lines(file: Path) -> None:
    text = (
        'databse = "x"\n[stripe]\nrate = 0\n\n[hubspot]\naccess_token = "env:NOWHERE"\nsearch_rate = 1001\n'
        '[create]\ncustomers = "some"\n[purchases]\nsinc = "auto"\n'
    )
    found = problems(file, text, {"WANESYNC_SERVER__PORT": "99999", "WANESYNC_STRIP__RATE": "3"})
    assert found == [
        "wanesync.toml:1: databse: is unknown: did you mean database?",
        "wanesync.toml:3: stripe.rate: must be greater than 0",
        "wanesync.toml:6: hubspot.access_token: env:NOWHERE is not set: export NOWHERE, or name another variable",
        "wanesync.toml:7: hubspot.search_rate: must be less than or equal to 1000",
        f"wanesync.toml:8: {MUST_BE_SET}",
        "wanesync.toml:9: create.customers: must be 'all' or 'none'",
        "wanesync.toml:11: purchases.sinc: is unknown: did you mean sink?",
        "WANESYNC_SERVER__PORT: server.port: must be less than or equal to 65535",
        "WANESYNC_STRIP__RATE: strip: is unknown: did you mean stripe?",
    ]


def test_the_entry_of_a_list_is_found(file: Path) -> None:
    text = CREATE + FIELD.format(1) + FIELD.format(2) + 'owner = "nobody"\n' + FIELD.format(3)
    assert only_problem(file, text) == "wanesync.toml:12: field[2].owner: must be 'hubspot' or 'stripe'"


def test_each_key_and_table_has_its_first_line() -> None:
    text = '# top\ndatabase = "x"\n\n[stripe]\nrate = 1 # = 2\n[[field]]\nname = "a"\n[[field]]\n"name" = "b"\n'
    assert find_lines(text) == {
        ("database",): 2, ("stripe",): 4, ("stripe", "rate"): 5, ("field",): 6, ("field", 0): 6,
        ("field", 0, "name"): 7, ("field", 1): 8, ("field", 1, "name"): 9,
    }  # fmt: skip


def test_a_dotted_key_is_found_under_its_whole_name() -> None:
    assert find_lines('stripe."rate" = 1\n') == {("stripe", "rate"): 1}


def test_a_key_is_named_as_in_the_file_and_as_a_variable() -> None:
    assert format_key(("field", 1, "owner")) == "field[2].owner"
    assert variable_name(("stripe", "api_key")) == "WANESYNC_STRIPE__API_KEY"


def test_a_problem_is_described_at_the_line_of_its_nearest_parent() -> None:
    locations = KeyLocations("wanesync.toml", {("stripe",): 4, ("stripe", "rate"): 5})
    assert locations.describe(ConfigProblem(("stripe", "rate"), "is wrong")) == "wanesync.toml:5: stripe.rate: is wrong"
    assert locations.describe(ConfigProblem(("stripe", "key"), "is wrong")) == "wanesync.toml:4: stripe.key: is wrong"
    assert locations.describe(ConfigProblem(("server",), "is wrong")) == "wanesync.toml: server: is wrong"


def test_a_problem_of_a_variable_is_described_by_its_name() -> None:
    locations = KeyLocations("wanesync.toml", {}, {("stripe", "rate"): "WANESYNC_STRIPE__RATE"})
    problem = ConfigProblem(("stripe", "rate"), "is wrong")
    assert locations.describe(problem) == "WANESYNC_STRIPE__RATE: stripe.rate: is wrong"


def test_problems_are_sorted_by_line_and_those_without_one_come_last() -> None:
    locations = KeyLocations("f", {("b",): 1, ("a",): 2})
    problems = [ConfigProblem((key,), "") for key in ("d", "c", "a", "b")]
    assert [problem.path[0] for problem in sorted(problems, key=locations.sort_key)] == ["b", "a", "c", "d"]
