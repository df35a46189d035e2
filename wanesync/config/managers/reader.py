"""Reads references into secrets managers: the client of each is imported when the first reference needs it."""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Protocol

from wanesync.config.managers.contents import read_content
from wanesync.config.managers.references import (
    EXTRAS,
    TITLES,
    Fault,
    ManagerFault,
    ManagerReference,
    Scheme,
    parse_reference,
)
from wanesync.core.errors import ConfigError

MODULES = {Scheme.AWS: "aws", Scheme.GOOGLE: "google", Scheme.AZURE: "azure", Scheme.VAULT: "vault"}
READ_TIMEOUT_S = 30.0
"""Time for one secret with its login (our choice): a client that looks for a login in places that do not answer (the
metadata address of a cloud) waits longer than its own time-outs say."""
CLIENT_LOGGERS = ("boto3", "botocore", "google", "azure", "msal", "hvac", "requests")
"""Their debug lines hold whole answers, secrets among them."""


class Manager(Protocol):
    """One secrets manager."""

    def read(self, reference: ManagerReference) -> bytes | str:
        """Return the content of a secret. Raises ``ManagerFault``."""
        ...


class ManagerReader:
    """Reads secrets from any manager. Thread-safe as the clients are."""

    def __init__(self, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._managers: dict[Scheme, Manager] = {}

    def read(self, scheme: Scheme, written: str) -> str:
        """Return the secret that ``NAME[@VERSION][#FIELD]`` names. Raises ``ConfigError`` with one problem."""
        reference = parse_reference(scheme, written)
        manager = self._managers.get(scheme) or self._managers.setdefault(scheme, load_manager(scheme))
        try:
            content = _read_in_time(manager, reference, self._timeout_s)
        except ManagerFault as fault:
            raise ConfigError([reference.explain(fault)]) from None
        return read_content(str(reference), content, reference.field)


def load_manager(scheme: Scheme) -> Manager:
    """Import the client of a manager. Raises ``ConfigError`` where the extra that brings it is not installed."""
    for name in CLIENT_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        module = importlib.import_module(f"wanesync.config.managers.{MODULES[scheme]}")
    except ImportError:
        extra = EXTRAS[scheme]
        text = f"{scheme}: needs the client of {TITLES[scheme]}: pip install 'wanesync[{extra}]'"
        raise ConfigError([text]) from None
    manager: Manager = module.Manager()
    return manager


def _read_in_time(manager: Manager, reference: ManagerReference, timeout_s: float) -> bytes | str:
    """Read in a thread of its own, which is left alone when it takes too long."""
    found: list[bytes | str] = []
    faults: list[ManagerFault] = []

    def read() -> None:
        try:
            found.append(manager.read(reference))
        except ManagerFault as fault:
            faults.append(fault)
        except Exception as error:  # noqa: BLE001 - the text of any error of a client may quote a secret
            faults.append(ManagerFault(Fault.REFUSED, type(error).__name__))

    thread = threading.Thread(target=read, name="secrets-manager", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if faults:
        raise faults[0]
    if not found:
        raise ManagerFault(Fault.UNREACHABLE, f"no answer within {timeout_s:g} s")
    return found[0]
