"""A configuration from answers: the example file with the answers in it, and secrets in files of their own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from wanesync.config.example import read_example
from wanesync.config.locations import variable_name
from wanesync.config.overrides import REAL_APIS
from wanesync.config.raw_values import find_named_file, read_raw_text
from wanesync.config.references import is_reference
from wanesync.core.errors import ConfigError
from wanesync.ops.setup.private_file import open_new, write_secret

FOLDER = "secrets"
"""Folder beside the configuration in which typed secrets are kept."""
FILES = {
    "hubspot.access_token": f"{FOLDER}/hubspot-token",
    "hubspot.webhook_secret": f"{FOLDER}/hubspot-client-secret",
    "stripe.api_key": f"{FOLDER}/stripe-key",
    "stripe.webhook_secret": f"{FOLDER}/stripe-webhook-secret",
}
"""Key of a secret -> its file."""
_HEADER = re.compile(r"\[\[?([^\]]+)\]\]?\s*$")


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to a set-up.

    ``secrets``: key -> the secret itself, or a reference to it; without one the key refers to its file, which is made
    later. ``values``: key -> any other value.
    """

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    values: Mapping[str, str | bool | int] = field(default_factory=dict)


def allow_addresses(answers: Answers) -> Answers:
    """Return the answers with the permission that another address than the vendors' needs, where one was given."""
    given = (answers.values.get(f"{side}.base_url", address) for side, address in REAL_APIS.items())
    if all(url == address for url, address in zip(given, REAL_APIS.values(), strict=True)):
        return answers
    return replace(answers, values={**answers.values, "network.allow_base_url": True})


def choose_port(answers: Answers) -> Answers:
    """Return the answers with the port that a public address of this machine names: nothing stands in front there."""
    address = urlsplit(str(answers.values.get("server.public_url", "")))
    if address.scheme != "http" or address.port is None:
        return answers
    return replace(answers, values={**answers.values, "server.port": address.port})


def write_configuration(path: Path, answers: Answers) -> list[Path]:
    """Write a configuration and the files of its secrets, mode 0600 each; returns what was written.

    Raises ``ConfigError`` where one of the files exists: nothing is overwritten.
    """
    typed = {key: value for key, value in answers.secrets.items() if not is_reference(value)}
    places = {key: path.parent / FILES[key] for key in typed}
    taken = [str(place) for place in (path, *places.values()) if place.exists()]
    if taken:
        raise ConfigError([f"{', '.join(taken)} exists: move it away first, nothing is overwritten"])
    references = {key: f"file:{FILES[key]}" for key in FILES}
    references |= {key: value for key, value in answers.secrets.items() if is_reference(value)}
    text = fill_example(read_example(), {**references, **answers.values})
    for key, value in typed.items():
        write_secret(places[key], value)
    with open_new(path) as file:
        file.write(text)
    if any(value.startswith(f"file:{FOLDER}/") for value in references.values()):
        # For those that come later; the command that writes them reports what fails.
        with suppress(OSError):
            (path.parent / FOLDER).mkdir(mode=0o700, exist_ok=True)
    return [*places.values(), path]


def fill_example(text: str, values: Mapping[str, str | bool | int]) -> str:
    """Return the example with values in it: key (``stripe.api_key``) -> text. Raises ``KeyError`` for another key."""
    waiting = dict(values)
    section = ""
    lines = []
    for line in text.splitlines():
        header = _HEADER.match(line)
        section = header[1] if header else section
        name = line.removeprefix("# ").partition(" = ")[0]
        key = f"{section}.{name}" if section else name
        # Of a key that stands there twice, as an example in a comment, the line that sets it comes last.
        if key in waiting and re.fullmatch(r"(# )?[a-z_]+ = .*", line):
            lines.append(f"{name} = {json.dumps(waiting.pop(key), ensure_ascii=False)}")
        else:
            lines.append(line)
    if waiting:
        raise KeyError(f"the example has no {', '.join(waiting)}")
    return "\n".join(lines) + "\n"


def find_pending(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the secrets that a configuration does not have yet: key -> what it waits for."""
    found = {}
    for key in FILES:
        section, _, name = key.partition(".")
        if variable_name((section, name)) in environment:
            continue
        raw = read_raw_text(path, section, name)
        place = find_named_file(path, section, name)
        if place is not None and not place.exists():
            found[key] = str(place)
        elif raw.startswith("env:") and raw.removeprefix("env:") not in environment:
            found[key] = f"the variable {raw.removeprefix('env:')}"
    return found
