"""AWS Secrets Manager through boto3. Region and login come from the usual places of AWS (docs/secrets.md#aws)."""

from __future__ import annotations

import re
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import (
    ConnectionError as Unreachable,
)

from wanesync.config.managers.references import Fault, ManagerFault, ManagerReference

CONNECT_TIMEOUT_S, READ_TIMEOUT_S, ATTEMPTS = 3, 5, 2
VERSION_ID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[A-Za-z0-9]{32,64}")
"""An id of a version; any other version is a stage, such as AWSPREVIOUS (GetSecretValue in the API reference)."""
REGION = re.compile(r"arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]*:secret:.")
FAULTS = {
    "ResourceNotFoundException": Fault.MISSING,
    "AccessDeniedException": Fault.DENIED,
    "AccessDenied": Fault.DENIED,
    "UnrecognizedClientException": Fault.LOGIN,
    "InvalidClientTokenId": Fault.LOGIN,
    "InvalidSignatureException": Fault.LOGIN,
    "ExpiredTokenException": Fault.LOGIN,
    "ExpiredToken": Fault.LOGIN,
    "ThrottlingException": Fault.RATE_LIMITED,
    "Throttling": Fault.RATE_LIMITED,
    "TooManyRequestsException": Fault.RATE_LIMITED,
    "InternalServiceError": Fault.UNREACHABLE,
    "ServiceUnavailable": Fault.UNREACHABLE,
}
"""Codes of errors (GetSecretValue, and the common errors of AWS)."""


class Manager:
    """Reads secrets; one client for each region."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}

    def read(self, reference: ManagerReference) -> bytes | str:
        """Return the content of a secret. Raises ``ManagerFault``."""
        wanted = {"SecretId": reference.name}
        if reference.version:
            kind = "VersionId" if VERSION_ID.fullmatch(reference.version) else "VersionStage"
            wanted[kind] = reference.version
        found = REGION.match(reference.name)
        try:
            answer = self._client(found[1] if found else "").get_secret_value(**wanted)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            raise ManagerFault(FAULTS.get(code, Fault.REFUSED), code) from None
        except NoRegionError:
            raise ManagerFault(Fault.LOGIN, "no region: set AWS_REGION, or name the secret by its ARN") from None
        except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
            raise ManagerFault(Fault.LOGIN, type(error).__name__) from None
        except (Unreachable, HTTPClientError) as error:
            raise ManagerFault(Fault.UNREACHABLE, type(error).__name__) from None
        except BotoCoreError as error:
            raise ManagerFault(Fault.REFUSED, type(error).__name__) from None
        content = answer.get("SecretString", answer.get("SecretBinary", b""))
        return content if isinstance(content, bytes | str) else b""

    def _client(self, region: str) -> Any:
        if region not in self._clients:
            config = Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            )
            self._clients[region] = boto3.session.Session().client(
                "secretsmanager", region_name=region or None, config=config
            )
        return self._clients[region]
