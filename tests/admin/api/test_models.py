"""What the models of the API have in common."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from wanesync.admin.api.models import ApiModel, Page


class Thing(ApiModel):
    name: str


class Count(ApiModel):
    most: int | None = None
    all: bool = False


@dataclass
class StoredThing:
    name: str


def test_a_model_is_read_from_a_dataclass_and_refuses_what_it_does_not_have() -> None:
    assert Thing.model_validate(StoredThing("a")) == Thing(name="a")
    with pytest.raises(ValidationError):
        Thing.model_validate({"name": "a", "more": 1})


@pytest.mark.parametrize("value", [True, False, "3"])
def test_a_number_is_made_of_nothing_else(value: object) -> None:
    with pytest.raises(ValidationError, match="a number is wanted"):
        Count.model_validate({"most": value})
    assert Count.model_validate({"most": 3, "all": True}) == Count(most=3, all=True)


def test_a_page_has_items_and_the_next_cursor() -> None:
    assert Page[Thing](items=[Thing(name="a")]).model_dump() == {"items": [{"name": "a"}], "next": None}
