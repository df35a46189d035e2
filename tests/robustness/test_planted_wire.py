"""A hundred of the thousand values: none can be read on the wire. The command has them all, also without TLS."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.robustness.planted_wire import play
from tests.support.bus_parts import accept, connected, file_store, make_door, make_queue, running_queue
from tests.support.mosquitto import running
from tests.support.planted import find_planted, plant, spell_exactly, spell_markers
from tests.support.recording_forwarder import RecordingForwarder
from tests.support.web_door import change

PERSON = plant(7)


def test_no_planted_value_can_be_read_on_the_wire_or_in_the_files_of_the_broker(tmp_path: Path) -> None:
    found = play(tmp_path, 20)
    assert found.wrong == []
    assert (found.values, found.connections["broker"] >= 7, found.connections["postgres"] >= 3) == (100, True, True)


def test_no_webhook_can_be_read_on_a_connection_without_tls(tmp_path: Path) -> None:
    values = [value for number in range(20) for value in plant(number).values()]
    with (
        running(tmp_path / "broker") as broker,
        RecordingForwarder(tmp_path / "wire", broker.port) as wire,
        file_store(tmp_path) as store,
        running_queue(make_queue(f"mqtt://127.0.0.1:{wire.port}", store)),
        connected(make_door(f"mqtt://127.0.0.1:{wire.port}")) as door,
    ):
        for number, value in enumerate(values, 1):
            event = change(number) | {"eventId": number, "subscriptionType": "contact.propertyChange"}
            assert accept(door, [event | {"propertyName": "city", "propertyValue": value}]) == 1
        recorded = list(wire.recordings())
        spoken = b"".join(wire.sent_by("client"))
    assert spoken.count(b"wane/in/hubspot") >= len(values)
    assert find_planted(recorded, spell_markers()) == []


@pytest.mark.parametrize("value", PERSON.values())
@pytest.mark.parametrize("before", ["", "a", "bc"])
def test_every_spelling_of_a_value_is_found(value: str, before: str) -> None:
    text = f'{before}{{"v":"{value}"}}~'
    for content in (
        text.encode(),
        text.upper().encode("utf-16-le"),
        quote(text, safe="").encode(),
        json.dumps(text).encode(),
        text.encode().hex().encode(),
        base64.b64encode(text.encode()),
        base64.urlsafe_b64encode(text.lower().encode()),
    ):
        assert find_planted([("there", b"\0" * 100 + content)], spell_markers())
    assert not find_planted([("there", b"\0" * 100 + text[:8].encode())], spell_markers())


@pytest.mark.parametrize("before", ["", "a", "bc"])
def test_every_spelling_of_a_key_is_found(before: str) -> None:
    key = 'wh/se+c=_"1'
    text = before + key + "~~~"
    for content in (json.dumps(text).encode(), quote(text, safe="").encode(), base64.b64encode(text.encode())):
        assert find_planted([("there", content)], dict.fromkeys(spell_exactly(key), "key"))
