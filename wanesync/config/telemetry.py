"""The table ``[telemetry]``: where traces are sent."""

from __future__ import annotations

from wanesync.config.value_types import Address, Section, Share


class Telemetry(Section):
    """Traces (OpenTelemetry). ``traces``: address of a collector's OTLP over HTTP; None: nothing is traced.

    ``sample``: the share of webhooks that is traced, with all that follows from them.
    """

    traces: Address | None = None
    sample: Share = 1.0
