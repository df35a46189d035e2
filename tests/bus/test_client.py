"""The MQTT client of a part."""

from __future__ import annotations

import pytest

from wanesync.bus.client import BusOptions


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtts://broker.example", ("broker.example", 8883)),
        ("mqtts://[::1]:8884", ("::1", 8884)),
        ("mqtt://127.0.0.1", ("127.0.0.1", 1883)),
    ],
)
def test_the_port_follows_from_the_scheme(url: str, address: tuple[str, int]) -> None:
    assert BusOptions(url, "one").address == address


def test_no_password_is_shown() -> None:
    assert "geheim" not in repr(BusOptions("mqtts://h", "one", "user", "geheim"))
