"""What every model of the API has in common, and a page of a list."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

ItemT = TypeVar("ItemT")
_NUMBERS: tuple[object, ...] = (int, float, int | None, float | None)


class ApiModel(BaseModel):
    """A JSON object of the API: unknown keys are refused, and it can be read from a dataclass of the same names."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)

    @field_validator("*", mode="before")
    @classmethod
    def refuse_other_types(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true, false and texts where a number is wanted: pydantic would make one of them."""
        field = cls.model_fields.get(info.field_name or "")
        if isinstance(value, bool | str) and field is not None and field.annotation in _NUMBERS:
            raise ValueError("a number is wanted")
        return value


class Page(ApiModel, Generic[ItemT]):
    """One page of a list, and the cursor of the next one."""

    items: list[ItemT]
    next: str | None = Field(default=None, description="Pass it as `cursor` to get the next page; null at the end.")
