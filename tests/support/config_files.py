"""A configuration file of a test, and the problems of reading it."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from wanesync.config.model import VENDOR_SECRETS, Config, load
from wanesync.core.errors import ConfigError

EMAIL_FIELD = '[[field]]\nname = "email"\nhubspot = "email"\nstripe = "email"\ntransform = "email"\n'
FIELD = '[[field]]\nname = "f{0}"\nhubspot = "p{0}"\nstripe = "metadata.k{0}"\n'

ALLOWED = "[network]\nallow_base_url = true\n"
CREATE = '[create]\ncustomers = "all"\ncontacts = "none"\n'


def problems(file: Path, text: str, env: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(file, text, env)
    assert caught.value.exit_code == 2
    return caught.value.problems


def read(
    file: Path,
    text: str,
    env: Mapping[str, str] | None = None,
    uses: Collection[str] = VENDOR_SECRETS,
    mode: int = 0o600,
) -> Config:
    file.write_text(text)
    file.chmod(mode)
    return load(file, env or {}, uses)


def only_problem(file: Path, text: str, env: Mapping[str, str] | None = None) -> str:
    (problem,) = problems(file, text, env)
    return problem


SEAL = base64.b64encode(bytes(32)).decode()
