"""Text that is no TOML is named by line and key, in our own words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.config_files import only_problem
from wanesync.config import toml_mistakes
from wanesync.config.model import load
from wanesync.core.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rate = fast", "wanesync.toml:2: hubspot.rate: is no value"),
        ("rate = ", "wanesync.toml:2: hubspot.rate: is no value"),
        ("rate = 5\nrate = 6", "wanesync.toml:3: hubspot.rate: is set twice"),
        ('access_token = "pat-secret', "wanesync.toml:2: hubspot.access_token: the quote is not closed"),
        ("access_token = 'pat-secret", "wanesync.toml:2: hubspot.access_token: the quote is not closed on its line"),
        ("access_token = '''pat-secret", "wanesync.toml:2: hubspot.access_token: the quote is not closed"),
        ("access_token = \"it's\" # it's\nown = 'pat-secret\nrate = 5", "wanesync.toml:3: hubspot.own: the quote"),
        (".".join("a" * 3000) + " = 1", "wanesync.toml:2: a name has more than 16 parts between dots"),
        ("[hubspot]", "wanesync.toml:2: hubspot: this table stands twice"),
        ("rate = 5 6", "wanesync.toml:2: hubspot.rate: more stands on the line"),
        ("rate", "wanesync.toml:2: an equals sign is missing"),
        ("rate : 5", "wanesync.toml:2: an equals sign is missing"),
        ("= 5", "wanesync.toml:2: is neither a heading"),
        ("[stripe", "wanesync.toml:2: a bracket of the heading is missing"),
        ("own_source_ids = [1,", "wanesync.toml:2: hubspot.own_source_ids: "),
        ('access_token = "a\\q"', "wanesync.toml:2: hubspot.access_token: a backslash in text is written twice"),
        ('access_token = "a\x01"', "wanesync.toml:2: hubspot.access_token: holds a character"),
        ("rate = 2026-02-31", "wanesync.toml:2: hubspot.rate: is no date or time that exists"),
        ("rate.a = 1\nrate = 2", "wanesync.toml:3: hubspot.rate: is set twice"),
        ("[[field]]\nname = x", "wanesync.toml:3: field[1].name: is no value"),
    ],
)
def test_a_mistake_is_named_by_line_and_key(file: Path, line: str, said: str) -> None:
    problem = only_problem(file, f"[hubspot]\n{line}\n")
    assert problem.startswith(said), problem
    assert "secret" not in problem
    assert not re.search(r"\(at |codec|column|namespace|\('", problem)


def test_a_file_of_another_encoding_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^a\.toml:2: is not UTF-8 text: save the file as UTF-8$"):
        toml_mistakes.decode("[hubspot]\n# Müller".encode("latin-1"), "a.toml")
    with pytest.raises(ConfigError, match=r"^a\.toml:1: is not UTF-8"):
        toml_mistakes.decode("[hubspot]".encode("utf-16"), "a.toml")


def test_the_mark_that_some_editors_put_in_front_is_left_out() -> None:
    assert toml_mistakes.parse(toml_mistakes.decode(b"\xef\xbb\xbfa = 1", "a.toml"), "a.toml") == {"a": 1}


def test_a_text_without_end_of_brackets_is_refused() -> None:
    with pytest.raises(ConfigError, match="has too many brackets within brackets"):
        toml_mistakes.parse("a = " + "[" * 100_000, "a.toml")


def test_a_file_that_is_far_too_large_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match=r"^zero: is larger than 4 MB"):
        load(Path("/dev/zero"), {})
