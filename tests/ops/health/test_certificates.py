"""Certificates that end within 14 days raise an alarm that names the file, the day and the way out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.ports import free_port
from wanesync.config.model import Config
from wanesync.config.sections import Bus, Create, Server
from wanesync.core.operating.alarms import Alarm
from wanesync.ops.broker.certificates import utc_now
from wanesync.ops.health.certificates import find_certificate_alarms, find_ending, read_served

NOW = utc_now()


def texts(alarms: Iterable[Alarm]) -> list[str]:
    return [alarm.text for alarm in alarms]


def make(folder: Path, days: float, stem: str) -> Path:
    return Authority(folder).issue("localhost", valid_for=timedelta(days=days), stem=stem).certificate


def test_only_those_that_end_within_14_days_are_named(tmp_path: Path) -> None:
    soon, ended, later = make(tmp_path, 13.5, "soon"), make(tmp_path, -0.5, "ended"), make(tmp_path, 15, "later")
    first, second = texts(find_ending(dict.fromkeys((soon, ended, later), "renew it"), NOW))
    assert first.startswith(f"the certificate {soon} ends on {NOW + timedelta(days=13.5):%Y-%m-%d}")
    assert first.endswith("UTC, in 13 days: renew it")
    assert second.startswith(f"the certificate {ended} ended on ")


def test_what_is_no_certificate_is_named_and_what_is_absent_is_not(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("nonsense")
    files = {tmp_path / "absent.pem": "r", tmp_path / "text.pem": "renew it", tmp_path: "renew it"}
    assert texts(find_ending(files, NOW)) == [
        f"the certificate {tmp_path / 'text.pem'} cannot be read (it is no PEM certificate): renew it",
        f"the certificate {tmp_path} cannot be read (Is a directory): renew it",
    ]


def test_a_server_that_does_not_answer_shows_none() -> None:
    assert read_served("127.0.0.1", free_port()) is None


def test_those_of_a_configuration_are_named_with_their_setting(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    door, client = (authority.issue("localhost", valid_for=timedelta(days=5), stem=name) for name in ("door", "client"))
    config = Config(
        create=Create(customers="all", contacts="all"),
        server=Server(certificate=str(door.certificate), key=str(door.key)),
        bus=Bus(
            url="mqtt://127.0.0.1", ca=str(authority.file), certificate=str(client.certificate), key=str(client.key)
        ),
    )
    first, second = texts(find_certificate_alarms(config, NOW))
    assert f"{door.certificate} ends on " in first
    assert ": server.certificate: put the renewed one there" in first
    assert second.endswith("bus.certificate: wanesync broker rotate ROLE on the machine of the broker")


def test_the_certificate_that_a_broker_shows_is_looked_at(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        context = authority.issue("127.0.0.1", valid_for=timedelta(days=3, hours=1)).serve()

        def accept() -> None:
            plain, _ = listening.accept()
            with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as shown:
                shown.recv(1)

        thread = threading.Thread(target=accept)
        thread.start()
        bus = Bus(url=f"mqtts://127.0.0.1:{listening.getsockname()[1]}")
        config = Config(create=Create(customers="all", contacts="all"), bus=bus)
        (alarm,) = texts(find_certificate_alarms(config, NOW))
        thread.join()
    assert alarm.startswith("the certificate of the broker at 127.0.0.1 ends on ")
    assert alarm.endswith("in 3 days: wanesync broker rotate server on its machine")
