"""``wanesync admin`` as a process, and inside ``up``: the first user, a session, TLS, the end."""

from __future__ import annotations

import re
import signal
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.program import Program
from wanesync.child_process import clean_environment

CONFIG = """\
database = "sqlite:wanesync.db"
[create]
customers = "all"
contacts = "all"
[admin]
port = 0
"""
PASSWORD = "correct horse battery staple"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "wanesync.toml"
    found.write_text(CONFIG)
    found.chmod(0o600)
    return found


@pytest.fixture
def program(file: Path) -> Iterator[Program]:
    started = Program(file, ("admin",), clean_environment())
    yield started
    started.stop()


def send(
    connection: HTTPConnection, method: str, target: str, form: dict[str, str] | None = None, cookie: str = ""
) -> tuple[int, dict[str, str], str]:
    """A request, as a browser on the page sends it."""
    headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, target, urlencode(form or {}) if form else None, headers)
    answer = connection.getresponse()
    # The first of two cookies is that of the session.
    return answer.status, {name.lower(): value for name, value in reversed(answer.getheaders())}, answer.read().decode()


def test_the_first_user_is_made_by_the_link_that_is_printed_and_comes_in(
    file: Path, program: Program, request: pytest.FixtureRequest
) -> None:
    address = program.first_line().rpartition(" ")[2]
    link = urlsplit(program.first_line().rpartition(" ")[2])
    connection = HTTPConnection(urlsplit(address).netloc, timeout=20)
    request.addfinalizer(connection.close)
    token = link.query.removeprefix("token=")
    form = {"token": token, "name": "anna", "password": PASSWORD, "again": PASSWORD}
    assert send(connection, "POST", "/setup", form)[0] == 303
    status, headers, _ = send(connection, "POST", "/login", {"name": "anna", "password": PASSWORD})
    assert status == 303
    cookie = headers["set-cookie"].partition(";")[0]
    status, headers, page = send(connection, "GET", "/account", cookie=cookie)
    assert (status, "anna" in page) == (200, True)
    assert "server" not in headers
    connection.close()
    program.signal(signal.SIGTERM)
    assert program.wait() == 0
    # With a user there is no link any more, and nothing secret is in the log.
    again = Program(file, ("admin",), clean_environment())
    again.first_line()
    assert again.stop() == 0
    log = program.log.read_text()
    assert token not in log
    assert PASSWORD not in log


def test_with_a_certificate_it_speaks_tls_and_tells_browsers_so(file: Path) -> None:
    authority = Authority(file.parent)
    pair = authority.issue("localhost")
    file.write_text(CONFIG + f'certificate = "{pair.certificate}"\nkey = "{pair.key}"\n')
    started = Program(file, ("admin",), clean_environment())
    try:
        address = urlsplit(started.first_line().rpartition(" ")[2])
        assert address.scheme == "https"
        context = ssl.create_default_context(cafile=str(authority.file))
        connection = HTTPSConnection("localhost", address.port, timeout=20, context=context)
        status, headers, _ = send(connection, "GET", "/login")
        assert (status, headers["strict-transport-security"]) == (200, "max-age=31536000; includeSubDomains")
        connection.close()
    finally:
        started.stop()


def test_beyond_this_machine_it_does_not_start_in_plain_http(file: Path) -> None:
    file.write_text(CONFIG + 'host = "0.0.0.0"\n')
    started = Program(file, ("admin",), clean_environment())
    assert started.wait() == 2
    assert re.search(r"admin\.host: other machines reach 0\.0\.0\.0, in plain HTTP", started.log.read_text())


def test_a_port_that_is_taken_is_named(file: Path, program: Program) -> None:
    port = urlsplit(program.first_line().rpartition(" ")[2]).port
    file.write_text(CONFIG.replace("port = 0", f"port = {port}"))
    second = Program(file, ("admin",), clean_environment())
    assert second.wait() == 2
    assert f"port {port} cannot be opened" in second.log.read_text()
    assert free_port() != port
