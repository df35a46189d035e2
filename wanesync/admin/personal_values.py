"""Values of people on pages and in the API: masked by the kind of their field, plain once they were revealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.admin.security.masking import Kind, mask
from wanesync.core.normalize import NAME_PARTS

if TYPE_CHECKING:
    from wanesync.core.fields import FieldMap

_KINDS = {"email": Kind.EMAIL, "phone": Kind.PHONE, "name": Kind.NAME}
BLANK = "blank"


@dataclass(frozen=True, slots=True)
class ValueFormatter:
    """Shows the values of mapped fields. ``plain``: they were revealed, which is noted in the audit log."""

    kinds: Mapping[str, Kind]
    plain: bool = False

    @classmethod
    def of(cls, fields: FieldMap, *, plain: bool = False) -> ValueFormatter:
        """Return the formatter of a field map."""
        return cls({spec.name: _KINDS.get(spec.transform, Kind.TEXT) for spec in fields.specs}, plain)

    def show(self, field: str, value: str) -> str:
        """Return a value of a field as it is shown; "" stays "". A name of two parts is one text."""
        text = value.replace(NAME_PARTS, " ").strip()
        return text if self.plain else mask(self.kinds.get(field.partition("/")[0], Kind.TEXT), text)

    def show_or_blank(self, field: str, value: str) -> str:
        """Return a value, or the word for none."""
        return self.show(field, value) or BLANK
