"""``secrets check``: which process needs which secret, where it comes from, and whether it resolves.

No value is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.config.managers.command import show_command
from wanesync.config.managers.references import ManagerReference
from wanesync.config.references import COMMAND, KEY_BEGINNING, find_manager, is_reference
from wanesync.config.secret_policies import write_policies
from wanesync.config.secret_users import REQUIRED_OF, SECRETS_OF, find_users
from wanesync.core.errors import ConfigError
from wanesync.core.setup.database_address import has_password

if TYPE_CHECKING:
    from wanesync.config.secret_source import SecretSource
    from wanesync.core.roles import Role

LITERAL = "a value in the configuration"
NOT_SET = "not set"


@dataclass(frozen=True, slots=True)
class SecretState:
    """One secret. ``sources``: where its values come from. ``roles``: who needs it. ``problems``: one line each."""

    key: str
    sources: Sequence[str]
    roles: Sequence[Role]
    problems: Sequence[str] = ()

    @property
    def state(self) -> str:
        """Return ``ok``, ``fails`` or ``not set``."""
        return "fails" if self.problems else "ok" if self.sources else NOT_SET

    def as_json(self) -> dict[str, object]:
        """Return it as a part of a JSON document."""
        roles = [str(role) for role in self.roles]
        return {
            "secret": self.key,
            "sources": list(self.sources),
            "roles": roles,
            "state": self.state,
            "problems": list(self.problems),
        }


def check_secrets(source: SecretSource, role: Role | None) -> Iterator[SecretState]:
    """Resolve the secrets of a role (None: all that are set), one after the other."""
    required = REQUIRED_OF.get(role, frozenset()) if role else frozenset[str]()
    used = SECRETS_OF[role] if role else frozenset(source.written)
    for key in sorted(used & (source.written.keys() | required)):
        written = source.written.get(key, ())
        missing = [f"{key} is not set, and {role} does not start without it"] if not written else []
        sources = [describe_source(text, is_address=key == "database") for text in written]
        yield SecretState(key, sources, find_users(key), missing or _find_problems(source, key))


def _find_problems(source: SecretSource, key: str) -> list[str]:
    values: list[str] = []
    problems: list[str] = []
    for text in source.written[key]:
        try:
            values += source.look_up(key, text)
        except ConfigError as error:
            problems += error.problems
    if not problems:
        try:
            source.check(key, tuple(values))
        except ConfigError as error:
            problems += error.problems
    return problems


def describe_source(text: str, *, is_address: bool = False) -> str:
    """Return where a value comes from, without anything of a value."""
    if not is_reference(text):
        return "an address without a password" if is_address and not has_password(text) else LITERAL
    if KEY_BEGINNING.match(text.partition(":")[2]):
        return f"{text.partition(':')[0]}: with a key itself"
    if text.startswith(COMMAND):
        try:
            return show_command(text.removeprefix(COMMAND))
        except ConfigError:
            return COMMAND
    try:
        found = find_manager(text)
    except ConfigError:
        return text.partition(":")[0] + ":"
    return str(found) if found else text


def find_policies(source: SecretSource, role: Role) -> dict[str, str]:
    """Return manager -> the least rights of a role there."""
    references: list[ManagerReference] = []
    for key in sorted(SECRETS_OF[role] & source.written.keys()):
        for text in source.written[key]:
            try:
                found = find_manager(text)
            except ConfigError:
                continue
            references += [found] if found else []
    return {str(scheme): policy for scheme, policy in write_policies(role, references).items()}
