"""References into a secrets manager: their parts, and what went wrong with one, in one line without its value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from wanesync.core.errors import ConfigError
from wanesync.output import UNSAFE


class Scheme(StrEnum):
    """What stands before the colon of a reference into a manager."""

    AWS = "aws-sm"
    GOOGLE = "gcp-sm"
    AZURE = "azure-kv"
    VAULT = "vault"


TITLES = {
    Scheme.AWS: "AWS Secrets Manager",
    Scheme.GOOGLE: "Google Secret Manager",
    Scheme.AZURE: "Azure Key Vault",
    Scheme.VAULT: "Vault",
}
EXTRAS = {Scheme.AWS: "aws", Scheme.GOOGLE: "gcp", Scheme.AZURE: "azure", Scheme.VAULT: "vault"}
"""The extra of the package that brings each client."""
SHAPES = {
    Scheme.AWS: "aws-sm:NAME or aws-sm:ARN",
    Scheme.GOOGLE: "gcp-sm:PROJECT/NAME",
    Scheme.AZURE: "azure-kv:VAULT/NAME",
    Scheme.VAULT: "vault:MOUNT/PATH#FIELD",
}
RIGHTS = {
    Scheme.AWS: "secretsmanager:GetSecretValue on it (and kms:Decrypt on its key)",
    Scheme.GOOGLE: "the role roles/secretmanager.secretAccessor on it",
    Scheme.AZURE: "the role Key Vault Secrets User on it",
    Scheme.VAULT: "a policy with the capability read on its path",
}
NAMES = {
    Scheme.AWS: re.compile(r"[A-Za-z0-9/_+=.@:-]{1,2048}"),
    Scheme.GOOGLE: re.compile(r"(?:projects/)?[a-z0-9:.-]{1,100}/(?:secrets/)?[A-Za-z0-9_-]{1,255}"),
    Scheme.AZURE: re.compile(r"[A-Za-z0-9.-]{1,253}/(?:secrets/)?[A-Za-z0-9-]{1,127}"),
    Scheme.VAULT: re.compile(r"[^/\s][^\s?#]*/[^\s?#]*[^/\s?#]"),
}
"""What a name may look like: the rules of each manager for names of secrets, vaults and projects."""
VERSION = re.compile(r"[A-Za-z0-9_+=.:/-]{1,256}")
WRITTEN = re.compile(r"([^@#]+)(?:@([^@#]*))?(?:#([^#]*))?")


class Fault(StrEnum):
    """Why a manager gave no secret."""

    MISSING = "missing"
    DENIED = "denied"
    LOGIN = "login"  # no credentials of our own, or ones that it does not accept
    UNREACHABLE = "unreachable"
    RATE_LIMITED = "rate limited"
    REFUSED = "refused"  # anything else: ``detail`` holds the manager's code


class ManagerFault(Exception):
    """A manager gave no secret. ``detail``: its code or the kind of error, never a text that may quote a value."""

    def __init__(self, fault: Fault, detail: str = "") -> None:
        self.fault, self.detail = fault, detail
        super().__init__(fault)


@dataclass(frozen=True, slots=True)
class ManagerReference:
    """One secret of one manager. ``version`` and ``field``: "" for the current one and the whole text."""

    scheme: Scheme
    name: str
    version: str = ""
    field: str = ""

    def __str__(self) -> str:
        """Return the reference as messages show it."""
        version = f"@{self.version}" if self.version else ""
        return f"{self.scheme}:{self.name}{version}{f'#{self.field}' if self.field else ''}"

    def explain(self, error: ManagerFault) -> str:
        """Return one line: what happened, and what to do."""
        title, detail = TITLES[self.scheme], f" ({error.detail})" if error.detail else ""
        texts = {
            Fault.MISSING: f"is not in {title}{detail}: create it, or correct its name, version, region or project",
            Fault.DENIED: f"is denied to this process by {title}{detail}: give it {RIGHTS[self.scheme]}; "
            "wanesync secrets check --policy prints it",
            Fault.LOGIN: f"cannot be asked for: this process has no login to {title} that works{detail}; see "
            "docs/secrets.md",
            Fault.UNREACHABLE: f"cannot be read: {title} does not answer{detail}; check the network, its address and "
            "its status page",
            Fault.RATE_LIMITED: f"cannot be read now: {title} limits the requests{detail}; try again in a minute, or "
            "raise [secrets] refresh",
            Fault.REFUSED: f"is refused by {title}{detail}: look at the secret and its version there",
        }
        return f"{self} {texts[error.fault]}"


def parse_reference(scheme: Scheme, written: str) -> ManagerReference:
    """Return the parts of ``NAME[@VERSION][#FIELD]``; an @, # or % of a name is written as its percent code.

    Raises ``ConfigError``.
    """
    found = WRITTEN.fullmatch(written)
    name, version, field = (unquote(part or "") for part in found.groups()) if found else ("", "", "")
    if not NAMES[scheme].fullmatch(name) or UNSAFE.search(written):
        advice = "with @VERSION and #FIELD after it where needed; an @ or # of the name itself is written %40 or %23"
        raise ConfigError([f"{scheme}: must be {SHAPES[scheme]}, {advice}"])
    if found and ((found[2] is not None and not VERSION.fullmatch(version)) or found[3] == ""):
        raise ConfigError([f"{scheme}:{name} must have a version after @ and the name of a field after #"])
    return ManagerReference(scheme, name, version, field)


def split_path(name: str) -> tuple[str, str]:
    """Return mount and path of a secret in Vault: the mount is what stands before /data/, else the first part."""
    mount, mark, path = name.partition("/data/")
    if not mark:
        mount, _, path = name.partition("/")
    return mount, path
