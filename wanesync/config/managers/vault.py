"""HashiCorp Vault and OpenBao: the key/value engine, version 2, through hvac.

Address and login come from the variables that Vault's own program reads: VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT,
VAULT_TOKEN or the file ~/.vault-token; or VAULT_ROLE_ID with VAULT_SECRET_ID for an AppRole.
"""

from __future__ import annotations

import json
import os
from typing import Any

import hvac
import requests
from hvac import exceptions

from wanesync.config.managers.references import Fault, ManagerFault, ManagerReference, split_path

TIMEOUT_S = 5
FAULTS: tuple[tuple[type[Exception], Fault], ...] = (
    (exceptions.InvalidPath, Fault.MISSING),
    (exceptions.Forbidden, Fault.DENIED),
    (exceptions.Unauthorized, Fault.LOGIN),
    (exceptions.RateLimitExceeded, Fault.RATE_LIMITED),
    (exceptions.VaultDown, Fault.UNREACHABLE),
    (exceptions.InternalServerError, Fault.UNREACHABLE),
    (exceptions.BadGateway, Fault.UNREACHABLE),
    (exceptions.VaultNotInitialized, Fault.UNREACHABLE),
    (exceptions.VaultError, Fault.REFUSED),
    (requests.RequestException, Fault.UNREACHABLE),
)


class Manager:
    """Reads secrets. The client is made anew for each: its token may have been renewed in its file."""

    def read(self, reference: ManagerReference) -> bytes | str:
        """Return the content of a secret: a JSON document, or the only field if none is named.

        Raises ``ManagerFault``.
        """
        mount, path = split_path(reference.name)
        version = reference.version
        if version and not version.isdigit():
            raise ManagerFault(Fault.REFUSED, "a version is a number")
        try:
            answer: Any = self._log_in().secrets.kv.v2.read_secret_version(
                path=path, mount_point=mount, version=int(version) if version else None, raise_on_deleted_version=True
            )
        except tuple(kind for kind, _ in FAULTS) as error:
            fault = next(fault for kind, fault in FAULTS if isinstance(error, kind))
            raise ManagerFault(fault, type(error).__name__) from None
        data = answer["data"]["data"]
        if not reference.field and len(data) == 1 and isinstance(only := next(iter(data.values())), str):
            return only
        return json.dumps(data)

    def _log_in(self) -> Any:
        client = hvac.Client(timeout=TIMEOUT_S, namespace=os.environ.get("VAULT_NAMESPACE"))
        role, secret = os.environ.get("VAULT_ROLE_ID"), os.environ.get("VAULT_SECRET_ID")
        if not client.token and role and secret:
            client.auth.approle.login(role, secret)
        if not client.token:
            raise ManagerFault(Fault.LOGIN, "no VAULT_TOKEN, no ~/.vault-token, no VAULT_ROLE_ID and VAULT_SECRET_ID")
        return client
