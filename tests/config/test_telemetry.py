"""Where traces may be sent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from wanesync.config.telemetry import Telemetry


def test_nothing_is_traced_unless_it_is_asked_for() -> None:
    assert Telemetry().traces is None


@pytest.mark.parametrize(
    "address", ["http://collector.example/v1/traces", "https://user:word@host/v1/traces", "host:4318"]
)
def test_traces_leave_this_machine_encrypted_and_without_a_password(address: str) -> None:
    with pytest.raises(ValidationError):
        Telemetry(traces=address)


@pytest.mark.parametrize("sample", [0, 1.5, -1])
def test_a_sample_is_a_share(sample: float) -> None:
    with pytest.raises(ValidationError):
        Telemetry(sample=sample)


def test_a_collector_on_this_machine_needs_no_encryption() -> None:
    assert Telemetry(traces="http://127.0.0.1:4318/v1/traces").traces == "http://127.0.0.1:4318/v1/traces"
