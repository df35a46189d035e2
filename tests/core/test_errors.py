"""Errors: their text names the side, the failure and the status, and their exit codes are those of the command line."""

from __future__ import annotations

from tests.support.core_builders import HUBSPOT, STRIPE
from wanesync.core.errors import CallError, ConfigError, DatabaseUnavailable, Failure, GuardError, WanesyncError


def test_a_failed_call_is_described_by_side_failure_status_and_reason() -> None:
    assert str(CallError(STRIPE, Failure.REFUSED, "email", status=400)) == "stripe: refused (400): email"
    assert str(CallError(HUBSPOT, Failure.UNREACHED, "connection refused")) == "hubspot: unreached: connection refused"


def test_a_configuration_error_lists_every_problem() -> None:
    error = ConfigError(["one", "two"])
    assert (str(error), error.problems) == ("one\ntwo", ["one", "two"])


def test_each_kind_of_error_has_its_exit_code() -> None:
    kinds = (WanesyncError, ConfigError, GuardError, DatabaseUnavailable)
    assert [kind.exit_code for kind in kinds] == [1, 2, 3, 4]
