"""A secret's content is one text or one field, and no message shows anything of it."""

from __future__ import annotations

import json

import pytest

from wanesync.config.managers.contents import MAX_SECRET_BYTES, read_content, split_list
from wanesync.core.errors import ConfigError

SHOWN = "vault:kv/stripe"
PLANTED = "sk_test_planted"
DOCUMENT = json.dumps({"api_key": PLANTED, "hooks": ["whsec_new", "whsec_old"], "n": 7, "on": True, "in": {"x": 1}})


def refusal(content: bytes | str, field: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        read_content(SHOWN, content, field)
    (problem,) = caught.value.problems
    assert "planted" not in problem
    assert caught.value.__cause__ is None
    return problem


@pytest.mark.parametrize("content", [PLANTED, f"{PLANTED}\n", PLANTED.encode(), f"{PLANTED}\r\n".encode()])
def test_a_text_is_the_secret_without_the_line_end_of_an_editor(content: bytes | str) -> None:
    assert read_content(SHOWN, content) == PLANTED


def test_a_field_of_a_document_is_the_secret() -> None:
    assert read_content(SHOWN, DOCUMENT, "api_key") == PLANTED
    assert read_content(SHOWN, DOCUMENT, "n") == "7"
    assert split_list(read_content(SHOWN, DOCUMENT, "hooks")) == ["whsec_new", "whsec_old"]


@pytest.mark.parametrize(
    ("content", "field", "text"),
    [
        ("", "", "is empty"),
        ("\n", "", "is empty"),
        (json.dumps({"key": ""}), "key", "is empty"),
        (b"\xff\xfeplanted", "", "is binary"),
        ("planted\0", "", "is binary"),
        ("planted" * MAX_SECRET_BYTES, "", "is larger than 65536 bytes"),
        ("planted\nplanted", "", "has several lines: store one line"),
        (json.dumps({"key": PLANTED}, indent=1), "", "has several lines: name a field of the JSON document"),
        (json.dumps({"key": PLANTED}), "", "is a JSON document: name the field with #FIELD (key)"),
        (json.dumps({"sk test planted": 1}), "", "(no field with a plain name)"),
        (PLANTED, "key", "is no JSON document, so it has no field: leave #key out"),
        (DOCUMENT, "absent", "has no such field (it has api_key, hooks, n, on, in)"),
        ("[1]", "absent", "has no such field: correct"),
        (DOCUMENT, "on", "is neither a text nor a list of texts"),
        (DOCUMENT, "in", "is neither a text nor a list of texts"),
    ],
)
def test_what_is_no_secret_is_named_in_one_line(content: bytes | str, field: str, text: str) -> None:
    assert text in refusal(content, field)


@pytest.mark.parametrize("text", ["whsec_a", "[", "[1]", "[]", '["a"', '{"a": 1}'])
def test_what_is_no_list_of_texts_is_one_text(text: str) -> None:
    assert split_list(text) == [text]
