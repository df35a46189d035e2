"""The reader: a client is imported when it is needed, has a time-out, and its own errors show nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest

from wanesync.config.managers import reader
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.managers.references import Fault, ManagerFault, ManagerReference, Scheme
from wanesync.core.errors import ConfigError


@dataclass
class Played:
    answer: bytes | str | Exception | threading.Event = "x"

    def read(self, reference: ManagerReference) -> bytes | str:
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, threading.Event):
            self.answer.wait(30)
            return ""
        return self.answer


def refusal(monkeypatch: pytest.MonkeyPatch, played: Played, timeout_s: float = 5) -> str:
    monkeypatch.setattr(reader, "load_manager", lambda _: played)
    with pytest.raises(ConfigError) as caught:
        ManagerReader(timeout_s).read(Scheme.AWS, "stripe#key")
    (problem,) = caught.value.problems
    assert "planted" not in problem
    assert caught.value.__cause__ is None
    return problem


def test_a_field_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "load_manager", lambda _: Played('{"key": "sk_test_planted"}'))
    assert ManagerReader().read(Scheme.AWS, "stripe#key") == "sk_test_planted"


def test_a_fault_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, Played(ManagerFault(Fault.DENIED, "AccessDeniedException")))
    assert line.startswith("aws-sm:stripe#key is denied to this process by AWS Secrets Manager (AccessDeniedException)")


def test_an_unexpected_error_of_a_client_shows_its_kind_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "(KeyError)" in refusal(monkeypatch, Played(KeyError("sk_test_planted")))


def test_a_client_that_does_not_answer_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ending = threading.Event()
    try:
        assert "does not answer (no answer within 0.05 s)" in refusal(monkeypatch, Played(ending), 0.05)
    finally:
        ending.set()


@pytest.mark.parametrize(
    ("scheme", "module", "extra"),
    [
        (Scheme.AWS, "boto3", "aws"),
        (Scheme.GOOGLE, "google.cloud", "gcp"),
        (Scheme.AZURE, "azure.keyvault.secrets", "azure"),
        (Scheme.VAULT, "hvac", "vault"),
    ],
)
def test_a_missing_extra_is_one_line_with_the_command(
    monkeypatch: pytest.MonkeyPatch, scheme: Scheme, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"wanesync.config.managers.{reader.MODULES[scheme]}", raising=False)
    with pytest.raises(ConfigError, match=rf"pip install 'wanesync\[{extra}\]'$"):
        reader.load_manager(scheme)


def test_no_client_is_imported_before_it_is_needed() -> None:
    script = (
        "import sys, wanesync.config.model as m; "
        "sys.exit(any(n.split('.')[0] in ('boto3', 'google', 'azure', 'hvac', 'requests') for n in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
