"""Templates and what they are given."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from tests.support.admin import AdminSite
from wanesync.admin.rendering import FOLDER, environment, find_asset, format_time


def test_text_is_escaped_and_a_missing_value_is_an_error() -> None:
    assert environment().from_string("{{ a }}").render(a="<b>") == "&lt;b&gt;"
    with pytest.raises(UndefinedError):
        environment().from_string("{{ a }}").render()


def test_times_and_masked_values() -> None:
    assert format_time(0) == "never"
    assert format_time(1_700_000_000_000) == "2023-11-14 22:13:20"
    shown = environment().from_string("{{ a | when }} {{ b | mask('email') }}").render(a=0, b="anna@example.com")
    assert shown == "never a•••@e•••.com"


def test_every_template_can_be_read() -> None:
    names = environment().list_templates()
    assert len(names) > 8
    for name in names:
        environment().get_template(name)


def test_the_address_of_an_asset_names_its_content() -> None:
    assert find_asset("admin.css").startswith("/assets/admin.css?v=")
    with pytest.raises(FileNotFoundError):
        find_asset("nothing.css")


def test_a_part_of_a_page_is_the_part_alone(admin: AdminSite) -> None:
    # htmx takes a part of a whole page by hx-select where a page names no block.
    page = admin.sign_in("admin").get("/audit", HX_Request="true")
    assert "<!doctype html>" in page.text
    assert (FOLDER / "templates" / "layout.html").exists()
