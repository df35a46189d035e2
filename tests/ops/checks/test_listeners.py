"""What doctor says of the listeners of this machine, and of the way to the vendors."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.support.certificates import DAY, Authority
from tests.support.config_files import ALLOWED, CREATE, read
from wanesync.config.sections import Server
from wanesync.core.model import Side
from wanesync.ops.checks.findings import State
from wanesync.ops.checks.listeners import check_listeners, check_network


def test_doctor_names_what_is_wrong_with_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    def examine(valid_for: timedelta) -> list[tuple[State, str]]:
        pair = authority.issue("a.example", valid_for=valid_for, began_before=60 * DAY)
        server = Server(host="0.0.0.0", certificate=str(pair.certificate), key=str(pair.key), metrics_port=9787)
        return [(found.state, found.line) for found in check_listeners(server)]

    assert examine(60 * DAY) == [(State.OK, "web door: serves TLS; figures at 127.0.0.1 port 9787")]
    [(state, line)] = examine(5 * DAY)
    assert (state, "ends in 4 days" in line) == (State.WARN, True)
    [(state, line)] = examine(-DAY)
    assert (state, "has expired" in line) == (State.FAIL, True)
    [(state, line)] = [(found.state, found.line) for found in check_listeners(Server(host="0.0.0.0"))]
    assert (state, "in plain HTTP" in line) == (State.FAIL, True)


def test_doctor_describes_the_way_to_the_vendors(tmp_path: Path) -> None:
    file = tmp_path / "wanesync.toml"
    config = read(file, CREATE)
    same = dict.fromkeys(Side, "directly, certificates checked with certifi")
    assert [found.state for found in check_network(config, same)] == [State.OK]
    other = {Side.HUBSPOT: "by the proxy p", Side.STRIPE: "directly"}
    assert [found.text for found in check_network(config, other)] == [
        "requests to hubspot leave by the proxy p",
        "requests to stripe leave directly",
    ]
    allowed = read(file, CREATE + ALLOWED)
    assert [found.state for found in check_network(allowed, same)] == [State.WARN]
