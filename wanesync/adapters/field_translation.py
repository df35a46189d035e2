"""Changes of fields as request bodies of the vendors (``core.ports.FieldTranslation``)."""

from __future__ import annotations

from collections.abc import Mapping

from wanesync.adapters.hubspot.contacts import write_properties
from wanesync.adapters.stripe.customers import write_params
from wanesync.core.fields import FieldMap
from wanesync.core.model import Record


class FieldTranslator:
    """The translation for one field map."""

    def __init__(self, fields: FieldMap) -> None:
        self._fields = fields

    def contact_properties(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """Return field -> canonical HubSpot value as raw properties."""
        return write_properties(values, self._fields)

    def customer_params(self, values: Mapping[str, str], current: Record | None) -> Mapping[str, object]:
        """Return field -> canonical Stripe value as parameters (``stripe.customers.write_params``)."""
        return write_params(values, current, self._fields)
