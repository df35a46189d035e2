"""AWS Secrets Manager: boto3 against moto's server, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from tests.config.managers.conftest import Refuse
from tests.support.canned_server import CannedServer, Told
from tests.support.moto_server import REGION, run_moto, variables
from tests.support.ports import free_port
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.managers.references import Scheme

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    with run_moto() as url:
        yield url


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch, moto: str) -> None:
    for name, value in variables(moto).items():
        monkeypatch.setenv(name, value)


def test_a_secret_by_name_arn_version_stage_and_field(moto: str) -> None:
    client = boto3.client("secretsmanager", endpoint_url=moto, region_name=REGION)
    created = client.create_secret(Name="prod/stripe", SecretString="sk_test_one")
    client.put_secret_value(SecretId="prod/stripe", SecretString='{"api_key": "sk_test_two"}')
    read = ManagerReader().read
    assert read(Scheme.AWS, "prod/stripe#api_key") == "sk_test_two"
    assert read(Scheme.AWS, f"{created['ARN']}#api_key") == "sk_test_two"
    assert read(Scheme.AWS, "prod/stripe@AWSPREVIOUS") == "sk_test_one"
    assert read(Scheme.AWS, f"prod/stripe@{created['VersionId']}") == "sk_test_one"
    client.create_secret(Name="binary", SecretBinary=b"sk_test_binary")
    assert read(Scheme.AWS, "binary") == "sk_test_binary"


def test_a_missing_secret_and_a_missing_version_are_named(moto: str, refuse: Refuse) -> None:
    assert "aws-sm:absent is not in AWS Secrets Manager (ResourceNotFoundException)" in refuse(Scheme.AWS, "absent")
    client = boto3.client("secretsmanager", endpoint_url=moto, region_name=REGION)
    client.create_secret(Name="once", SecretString="x")
    assert "is not in AWS Secrets Manager" in refuse(Scheme.AWS, "once@AWSPREVIOUS")


def test_no_region_and_no_login_are_named(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert "no login to AWS Secrets Manager that works" in refuse(Scheme.AWS, "x")
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "no region: set AWS_REGION" in refuse(Scheme.AWS, "x")


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (400, "AccessDeniedException", "give it secretsmanager:GetSecretValue on it"),
        (400, "ThrottlingException", "limits the requests"),
        (400, "UnrecognizedClientException", "no login"),
        (400, "DecryptionFailure", "is refused by AWS Secrets Manager (DecryptionFailure)"),
        (500, "InternalServiceError", "does not answer"),
    ],
)
def test_what_moto_does_not_refuse_is_named_too(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch, status: int, code: str, text: str
) -> None:
    with CannedServer(Told(status, {"__type": code, "message": "planted"})) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", server.url)
        assert text in refuse(Scheme.AWS, "prod/stripe")


def test_an_address_that_does_not_answer_is_named(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{free_port()}")
    assert "does not answer (EndpointConnectionError)" in refuse(Scheme.AWS, "prod/stripe")
