"""``webhooks hubspot write``: the files and the clicks that remain."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from wanesync.cli.main import app
from wanesync.core.errors import ConfigError

CONFIG = '[create]\ncustomers = "none"\ncontacts = "none"\n'
SERVER = '[server]\npublic_url = "https://sync.example.com"\n[hubspot]\nportal_id = 17\n'


def write(folder: Path, config: str) -> Result:
    file = folder / "wanesync.toml"
    file.touch(mode=0o600)
    file.write_text(config)
    return CliRunner().invoke(app, ["webhooks", "hubspot", "write", str(folder / "app"), "--config", str(file)])


def test_the_files_and_the_numbered_clicks(tmp_path: Path) -> None:
    done = write(tmp_path, CONFIG + SERVER)
    assert done.exit_code == 0, done.output
    assert f"wrote {tmp_path / 'app' / 'hsproject.json'}" in done.output
    assert "  1. npm install -g @hubspot/cli, then hs account auth, and choose the account 17" in done.output
    assert "  6. wanesync doctor" in done.output
    assert f"{tmp_path / 'app' / 'hsproject.json'} is as it should be" in write(tmp_path, CONFIG + SERVER).output


def test_the_public_address_is_needed(tmp_path: Path) -> None:
    refused = write(tmp_path, CONFIG)
    assert isinstance(refused.exception, ConfigError)
    assert "server.public_url" in str(refused.exception)


def test_the_files_of_the_secrets_are_named(tmp_path: Path) -> None:
    done = write(tmp_path, f'{CONFIG}{SERVER}access_token = "file:secrets/token"\nwebhook_secret = "env:HOOK"\n')
    token = tmp_path / "secrets" / "token"
    assert f"the access token into {token} (mode 0600), the client secret into hubspot.webhook_secret" in done.output
