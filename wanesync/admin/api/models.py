"""What every model of the API has in common, and a page of a list."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

ItemT = TypeVar("ItemT")


class ApiModel(BaseModel):
    """A JSON object of the API: unknown keys are refused, and it can be read from a dataclass of the same names."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class Page(ApiModel, Generic[ItemT]):
    """One page of a list, and the cursor of the next one."""

    items: list[ItemT]
    next: str | None = Field(default=None, description="Pass it as `cursor` to get the next page; null at the end.")
