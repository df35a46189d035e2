"""The least rights of a role in each manager."""

from __future__ import annotations

import json

from moto.iam.policy_validation import IAMPolicyDocumentValidator

from wanesync.config.managers.references import ManagerReference, Scheme, parse_reference
from wanesync.config.secret_policies import write_policies
from wanesync.core.roles import Role

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/stripe-AbCdEf"


def policy(scheme: Scheme, *written: str) -> str:
    references: list[ManagerReference] = [parse_reference(scheme, one) for one in written]
    (found,) = write_policies(Role.STRIPE_WORKER, references).items()
    assert found[0] is scheme
    return found[1]


def test_aws_allows_reading_those_secrets_only() -> None:
    text = policy(Scheme.AWS, "prod/db#password", f"{ARN}#api_key", "prod/db@AWSPREVIOUS#password")
    IAMPolicyDocumentValidator(text).validate()
    (statement,) = json.loads(text)["Statement"]
    assert statement["Action"] == ["secretsmanager:GetSecretValue"]
    assert statement["Resource"] == ["arn:aws:secretsmanager:REGION:ACCOUNT:secret:prod/db-??????", ARN]


def test_google_binds_the_role_of_each_secret() -> None:
    lines = policy(Scheme.GOOGLE, "my-project/stripe@3", "projects/my-project/secrets/db").splitlines()
    assert [line.split()[3] for line in lines] == ["stripe", "db"]
    assert all("--role=roles/secretmanager.secretAccessor" in line for line in lines)
    assert all("serviceAccount:wanesync-stripe-worker@my-project.iam.gserviceaccount.com" in line for line in lines)


def test_azure_assigns_the_role_on_each_secret() -> None:
    line = policy(Scheme.AZURE, "my-vault.vault.azure.net/secrets/stripe")
    assert '--role "Key Vault Secrets User"' in line
    assert line.endswith("/providers/Microsoft.KeyVault/vaults/my-vault/secrets/stripe")


def test_vault_reads_each_path() -> None:
    text = policy(Scheme.VAULT, "secret/wanesync/stripe#a", "secret/wanesync/stripe#b", "team/kv/data/db#x")
    assert text == (
        'path "secret/data/wanesync/stripe" {\n  capabilities = ["read"]\n}\n'
        'path "team/kv/data/db" {\n  capabilities = ["read"]\n}'
    )
