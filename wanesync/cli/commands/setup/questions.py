"""The questions of ``init``: asked in a terminal, or answered by options."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError

from wanesync.config.overrides import check_database_path
from wanesync.config.references import is_reference
from wanesync.config.value_types import (
    Address,
    Country,
    DatabaseText,
    HubSpotSecrets,
    HubSpotToken,
    PublicAddress,
    StripeKey,
    StripeSecrets,
)
from wanesync.core.errors import ConfigError
from wanesync.ops.setup.answers import Answers
from wanesync.output import print_line

TYPES: Mapping[str, Any] = {
    "hubspot.access_token": HubSpotToken,
    "hubspot.webhook_secret": HubSpotSecrets,
    "stripe.api_key": StripeKey,
    "stripe.webhook_secret": StripeSecrets,
    "server.public_url": PublicAddress,
    "database": DatabaseText,
    "hubspot.base_url": Address,
    "stripe.base_url": Address,
    "fields.default_country": Country,
}
"""Key -> its type, by which a typed answer is checked before anything is written."""
SECRETS = {
    "hubspot.access_token": "HubSpot access token (app, Auth tab)",
    "hubspot.webhook_secret": "HubSpot client secret (app, Auth tab)",
    "stripe.api_key": "Stripe key (restricted: wanesync init --permissions)",
    "stripe.webhook_secret": "Stripe signing secret (made by wanesync webhooks stripe create)",
}
CREATE = {
    "create.customers": "Create customers for contacts that have none",
    "create.contacts": "Create contacts for customers that have none",
}
NEEDED = {"hubspot.access_token", "stripe.api_key", *CREATE}
"""Where these are given as options nothing is asked: each other answer can be left for later."""
OPTIONS = {
    "server.public_url": "--public-url",
    "hubspot.base_url": "--hubspot-url",
    "stripe.base_url": "--stripe-url",
    "fields.default_country": "--default-country",
}
"""Key -> its option, where that is not named after it."""
LATER = "Enter: later"


def is_interactive() -> bool:
    """Return whether there is a terminal to ask in."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def collect(given: Mapping[str, str | None], *, ask: bool) -> Answers:
    """Return the answers: those given by options, and in a terminal the answers to the other questions.

    Raises ``ConfigError`` for a secret that stands in an option, an answer that cannot be used, and, where nothing
    can be asked, for answers that are missing.
    """
    known = {key: value for key, value in given.items() if value is not None}
    problems = [problem for key, value in known.items() if (problem := _find_problem(key, value))]
    if problems:
        raise ConfigError(problems)
    if ask and not known.keys() >= NEEDED:
        known |= _ask(known)
    missing = [key for key in CREATE if key not in known]
    if missing:
        options = " and ".join(f"--{key.replace('.', '-')} all|none" for key in missing)
        raise ConfigError([f"there is no default for whether people are created: give {options}"])
    secrets = {key: value for key, value in known.items() if key in SECRETS}
    return Answers(secrets, {key: value for key, value in known.items() if key not in SECRETS})


def _find_problem(key: str, value: str) -> str:
    option = OPTIONS.get(key, f"--{key.replace('.', '-').replace('_', '-')}")
    if key in SECRETS:
        return (
            ""
            if is_reference(value)
            else f"{option} takes env:NAME, file:PATH or another reference: other users see options"
        )
    return _check(key, value, option)


def _check(key: str, value: str, name: str) -> str:
    """Return why a value cannot be used, "" if it can; nothing of a secret is shown."""
    if key in CREATE and value not in ("all", "none"):
        return f"{name} must be all or none"
    if key not in TYPES or (key == "database" and is_reference(value)):
        return ""
    try:
        TypeAdapter(TYPES[key]).validate_python(value)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)[0]
        return f"{name} {found.get('ctx', {}).get('error', found['msg'])}"
    problems = check_database_path({key: value}) if key == "database" else ()
    return next((f"{name} {problem.text}" for problem in problems), "")


def _ask(known: Mapping[str, str]) -> dict[str, str]:
    """Ask what is not answered yet; an empty answer is left for later."""
    print_line("A question each; secrets are not shown and go into files of mode 0600.", error=True)
    found: dict[str, str] = {}
    if "server.public_url" not in known:
        text = f"Public https address of wanesync serve ({LATER})"
        found["server.public_url"] = _prompt("server.public_url", text)
    for key, text in SECRETS.items():
        if key not in known:
            found[key] = _prompt(key, f"{text} ({LATER})", hidden=True)
    for key, text in CREATE.items():
        if key not in known:
            found[key] = "all" if typer.confirm(f"{text}?", err=True) else "none"
    if "fields.default_country" not in known:
        text = "Country of phone numbers without a country code, such as DE (Enter: none)"
        found["fields.default_country"] = _prompt("fields.default_country", text).upper()
    return {key: value for key, value in found.items() if value}


def _prompt(key: str, text: str, *, hidden: bool = False) -> str:
    """Ask until the answer can be used, or is empty or a reference."""
    while True:
        typed: str = typer.prompt(text, default="", show_default=False, hide_input=hidden, err=True)
        answer = typed.strip()
        problem = "" if is_reference(answer) or not answer else _check(key, answer, "it")
        if not problem:
            return answer
        print_line(problem, error=True)
