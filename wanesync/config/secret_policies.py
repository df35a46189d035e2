"""The least rights that a role needs in each secrets manager: to read the secrets it uses, and nothing else.

What a reference does not say stands in capitals: REGION, ACCOUNT, SUBSCRIPTION, GROUP, PRINCIPAL. Formats: IAM policy
(JSON), gcloud and az commands, Vault policy (HCL).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from wanesync.config.managers.references import ManagerReference, Scheme, split_path
from wanesync.core.roles import Role

SUFFIX = "-??????"
"""What AWS appends to the name of a secret in its ARN (docs: "IAM policy examples for Secrets Manager")."""


def write_policies(role: Role, references: Sequence[ManagerReference]) -> dict[Scheme, str]:
    """Return manager -> the policy by which a role may read these secrets; none for a manager it does not use."""
    by_manager: dict[Scheme, list[str]] = {}
    for reference in references:
        names = by_manager.setdefault(reference.scheme, [])
        if reference.name not in names:
            names.append(reference.name)
    return {scheme: WRITERS[scheme](role, names) for scheme, names in by_manager.items()}


def write_aws(_role: Role, names: Sequence[str]) -> str:
    """Return an IAM policy. A secret with a KMS key of its own needs kms:Decrypt on that key besides."""
    resources = [
        name if name.startswith("arn:") else f"arn:aws:secretsmanager:REGION:ACCOUNT:secret:{name}{SUFFIX}"
        for name in names
    ]
    statement = {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": resources}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def write_google(role: Role, names: Sequence[str]) -> str:
    """Return one role binding for each secret, as commands of gcloud."""
    lines = []
    for name in names:
        project, _, secret = name.removeprefix("projects/").partition("/")
        lines.append(
            f"gcloud secrets add-iam-policy-binding {secret.removeprefix('secrets/')} --project={project}"
            f" --role=roles/secretmanager.secretAccessor"
            f" --member=serviceAccount:wanesync-{role}@{project}.iam.gserviceaccount.com"
        )
    return "\n".join(lines)


def write_azure(_role: Role, names: Sequence[str]) -> str:
    """Return one role assignment for each secret, as commands of az. PRINCIPAL: the role's managed identity."""
    lines = []
    for name in names:
        vault, _, secret = name.partition("/")
        scope = (
            "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.KeyVault/vaults/"
            f"{vault.partition('.')[0]}/secrets/{secret.removeprefix('secrets/')}"
        )
        lines.append(
            'az role assignment create --role "Key Vault Secrets User" --assignee-object-id PRINCIPAL'
            f" --assignee-principal-type ServicePrincipal --scope {scope}"
        )
    return "\n".join(lines)


def write_vault(_role: Role, names: Sequence[str]) -> str:
    """Return a policy of the key/value engine, version 2."""
    paths = ["/data/".join(split_path(name)) for name in names]
    return "\n".join(f'path "{path}" {{\n  capabilities = ["read"]\n}}' for path in paths)


WRITERS: Mapping[Scheme, Callable[[Role, Sequence[str]], str]] = {
    Scheme.AWS: write_aws,
    Scheme.GOOGLE: write_google,
    Scheme.AZURE: write_azure,
    Scheme.VAULT: write_vault,
}
