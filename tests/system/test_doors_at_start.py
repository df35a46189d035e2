"""What ``serve`` refuses at its start: a door that others reach in plain HTTP, and a certificate that has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certificates import DAY, Authority
from tests.support.forked import run_forked
from wanesync.child_process import clean_environment

CONFIG = """\
[create]
customers = "none"
contacts = "none"
[hubspot]
webhook_secret = "s"
portal_id = 1
[stripe]
webhook_secret = "whsec_s"
[server]
host = "0.0.0.0"
public_url = "https://sync.example.com"
"""


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("", "wanesync: server.host: other machines reach 0.0.0.0, in plain HTTP: set certificate and key"),
        (
            'certificate = "old.crt"\nkey = "old.key"\n',
            "wanesync: server.certificate: {folder}/old.crt has expired (",
        ),
        (
            'behind_proxy = true\nmetrics_host = "0.0.0.0"\nmetrics_port = 0\n',
            "wanesync: server.metrics_host: other machines reach 0.0.0.0: set server.metrics_token",
        ),
    ],
)
def test_serve_ends_with_one_clear_line(tmp_path: Path, more: str, text: str) -> None:
    Authority(tmp_path).issue("sync.example.com", valid_for=-DAY, began_before=90 * DAY, stem="old")
    file = tmp_path / "wanesync.toml"
    file.touch(mode=0o600)
    file.write_text(CONFIG + more)
    ended = run_forked(
        ["serve", "--config", str(file)], clean_environment() | {"WANESYNC_STRIPE__API_KEY": "sk_test_x"}, 60
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(text.format(folder=tmp_path)), ended.stderr
    assert ended.stderr.count("\n") == 1
