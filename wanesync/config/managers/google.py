"""Google Secret Manager through google-cloud-secret-manager, over REST. The login is the application default one."""

from __future__ import annotations

from google.api_core import exceptions
from google.auth import exceptions as login
from google.cloud import secretmanager_v1

from wanesync.config.managers.references import Fault, ManagerFault, ManagerReference

TIMEOUT_S = 8.0
FAULTS: tuple[tuple[type[Exception], Fault], ...] = (
    (exceptions.NotFound, Fault.MISSING),
    (exceptions.Forbidden, Fault.DENIED),
    (exceptions.Unauthorized, Fault.LOGIN),
    (exceptions.TooManyRequests, Fault.RATE_LIMITED),
    (exceptions.ServerError, Fault.UNREACHABLE),
    (exceptions.RetryError, Fault.UNREACHABLE),
    (login.TransportError, Fault.UNREACHABLE),
    (login.GoogleAuthError, Fault.LOGIN),
    (exceptions.GoogleAPIError, Fault.REFUSED),
    (OSError, Fault.UNREACHABLE),  # requests' errors of the network, and time-outs
)


class Manager:
    """Reads secrets with one client."""

    def __init__(self) -> None:
        self._client: secretmanager_v1.SecretManagerServiceClient | None = None

    def read(self, reference: ManagerReference) -> bytes | str:
        """Return the content of a secret. Raises ``ManagerFault``."""
        project, _, secret = reference.name.removeprefix("projects/").partition("/")
        path = f"projects/{project}/secrets/{secret.removeprefix('secrets/')}/versions/{reference.version or 'latest'}"
        try:
            if self._client is None:
                self._client = secretmanager_v1.SecretManagerServiceClient(transport="rest")
            answer = self._client.access_secret_version(name=path, timeout=TIMEOUT_S, retry=None)
        except tuple(kind for kind, _ in FAULTS) as error:
            fault = next(fault for kind, fault in FAULTS if isinstance(error, kind))
            raise ManagerFault(fault, type(error).__name__) from None
        return bytes(answer.payload.data)
