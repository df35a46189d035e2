"""Azure Key Vault through azure-keyvault-secrets. The login is azure-identity's default one (docs/secrets.md#azure)."""

from __future__ import annotations

from azure.core import exceptions
from azure.identity import CredentialUnavailableError, DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

from wanesync.config.managers.references import Fault, ManagerFault, ManagerReference

CONNECT_TIMEOUT_S, READ_TIMEOUT_S, RETRIES = 3, 5, 1
STATUSES = {401: Fault.LOGIN, 403: Fault.DENIED, 404: Fault.MISSING, 429: Fault.RATE_LIMITED}


class Manager:
    """Reads secrets; one client for each vault, one login for all."""

    def __init__(self) -> None:
        self._clients: dict[str, SecretClient] = {}
        self._login: DefaultAzureCredential | None = None

    def read(self, reference: ManagerReference) -> bytes | str:
        """Return the content of a secret. Raises ``ManagerFault``."""
        vault, _, name = reference.name.partition("/")
        try:
            client = self._client(vault if "." in vault else f"{vault}.vault.azure.net")
            found = client.get_secret(name.removeprefix("secrets/"), reference.version or None)
        except CredentialUnavailableError as error:
            raise ManagerFault(Fault.LOGIN, type(error).__name__) from None
        except exceptions.HttpResponseError as error:
            raise ManagerFault(_classify(error), _describe(error)) from None
        except (exceptions.ServiceRequestError, exceptions.ServiceResponseError) as error:
            raise ManagerFault(Fault.UNREACHABLE, type(error).__name__) from None
        except (exceptions.AzureError, ValueError) as error:
            # ValueError: the vault's challenge names another domain than the address.
            raise ManagerFault(Fault.REFUSED, type(error).__name__) from None
        return found.value or ""

    def _client(self, vault: str) -> SecretClient:
        if self._login is None:
            self._login = DefaultAzureCredential(
                connection_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retry_total=RETRIES
            )
        if vault not in self._clients:
            self._clients[vault] = SecretClient(
                f"https://{vault}",
                self._login,
                connection_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retry_total=RETRIES,
            )
        return self._clients[vault]


def _classify(error: exceptions.HttpResponseError) -> Fault:
    if isinstance(error, exceptions.ClientAuthenticationError):
        return Fault.LOGIN
    status = error.status_code or 0
    return Fault.UNREACHABLE if status >= 500 else STATUSES.get(status, Fault.REFUSED)


def _describe(error: exceptions.HttpResponseError) -> str:
    return f"status {error.status_code}" if error.status_code else type(error).__name__
