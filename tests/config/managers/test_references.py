"""References into managers: their parts, and a line for each fault."""

from __future__ import annotations

import pytest

from wanesync.config.managers.references import Fault, ManagerFault, ManagerReference, Scheme, parse_reference
from wanesync.core.errors import ConfigError

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/stripe-AbCdEf"


@pytest.mark.parametrize(
    ("scheme", "written", "parts"),
    [
        (Scheme.AWS, "prod/stripe", ("prod/stripe", "", "")),
        (Scheme.AWS, ARN, (ARN, "", "")),
        (Scheme.AWS, "prod/stripe@AWSPREVIOUS#api_key", ("prod/stripe", "AWSPREVIOUS", "api_key")),
        (Scheme.AWS, "a%40b#x%23y", ("a@b", "", "x#y")),
        (Scheme.GOOGLE, "my-project/stripe@7", ("my-project/stripe", "7", "")),
        (Scheme.GOOGLE, "projects/123/secrets/stripe", ("projects/123/secrets/stripe", "", "")),
        (Scheme.AZURE, "my-vault/stripe#key", ("my-vault/stripe", "", "key")),
        (Scheme.VAULT, "secret/wanesync/stripe@3#key", ("secret/wanesync/stripe", "3", "key")),
    ],
)
def test_a_reference_has_a_name_a_version_and_a_field(scheme: Scheme, written: str, parts: tuple[str, ...]) -> None:
    found = parse_reference(scheme, written)
    assert (found.name, found.version, found.field) == parts


@pytest.mark.parametrize(
    ("scheme", "written"),
    [
        (Scheme.AWS, ""),
        (Scheme.AWS, "a b"),
        (Scheme.AWS, "name@"),
        (Scheme.AWS, "name#"),
        (Scheme.AWS, "name@1@2"),
        (Scheme.AWS, "name#a#b"),
        (Scheme.GOOGLE, "stripe"),
        (Scheme.GOOGLE, "Project/stripe"),
        (Scheme.AZURE, "vault/a/b/c"),
        (Scheme.AZURE, "https://x.vault.azure.net/secrets/a"),
        (Scheme.VAULT, "secret"),
        (Scheme.VAULT, "secret/"),
        (Scheme.VAULT, "secret/a\u202e"),
    ],
)
def test_what_names_nothing_is_refused(scheme: Scheme, written: str) -> None:
    with pytest.raises(ConfigError, match=f"^{scheme}:"):
        parse_reference(scheme, written)


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_is_one_line_with_the_reference_and_what_to_do(scheme: Scheme, fault: Fault) -> None:
    reference = ManagerReference(scheme, "a/b", "2", "key")
    line = reference.explain(ManagerFault(fault, "code"))
    assert line.startswith(f"{scheme}:a/b@2#key ")
    assert "(code)" in line
    assert ": " in line
    assert "\n" not in line
