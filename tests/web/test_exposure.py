"""What may be reached from other machines, and who sees the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.config.sections import Server
from wanesync.core.errors import ConfigError
from wanesync.web.exposure import check_doors, is_loopback_host, shows_metrics

TOKEN = "t" * 24
PUBLIC = "https://sync.example.com"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_on_this_machine_nothing_more_is_needed(host: str) -> None:
    assert is_loopback_host(host)
    check_doors(Server(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "sync.example.com", "fe80::1%eth0"])
def test_beyond_it_tls_or_a_proxy_is_needed(host: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.host: other machines reach .* in plain HTTP") as raised:
        check_doors(Server(host=host))
    assert len(raised.value.problems) == 1
    check_doors(Server(host=host, behind_proxy=True))
    check_doors(Server(host=host, certificate="a.pem", key="a.key"))


def test_figures_beyond_this_machine_need_a_token_and_tls() -> None:
    open_to_all = {"metrics_host": "0.0.0.0", "metrics_port": 9787}
    with pytest.raises(ConfigError, match=r"server\.metrics_host: .* set server\.metrics_token"):
        check_doors(Server.model_validate(open_to_all))
    with pytest.raises(ConfigError, match=r"server\.metrics_host: .* in plain HTTP"):
        check_doors(Server.model_validate({**open_to_all, "metrics_token": TOKEN}))
    check_doors(Server.model_validate({**open_to_all, "metrics_token": TOKEN, "behind_proxy": True}))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, True),
        ({"public_url": "http://127.0.0.1:8787"}, True),
        ({"public_url": PUBLIC}, False),
        ({"behind_proxy": True}, False),
        ({"host": "0.0.0.0", "behind_proxy": True}, False),
        ({"public_url": PUBLIC, "metrics_token": TOKEN}, True),
        ({"metrics_port": 9787}, False),
        ({"metrics_port": 9787, "metrics_token": TOKEN}, False),
    ],
)
def test_who_sees_figures_at_the_door_of_webhooks(given: dict[str, object], shown: bool) -> None:
    assert shows_metrics(Server.model_validate(given)) == shown


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 24 characters"):
        Server.model_validate({"metrics_token": "t" * 23})
    with pytest.raises(ValueError, match="both or neither"):
        Server.model_validate({"certificate": str(tmp_path / "a.pem")})
    for wrong in ("0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example"):
        with pytest.raises(ValueError, match="trusted_proxies"):
            Server.model_validate({"trusted_proxies": [wrong]})
