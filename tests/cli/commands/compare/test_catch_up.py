"""``catch-up``: what it prints of each side, and how it ends when one cannot be read."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from wanesync.cli.commands.compare import catch_up as command
from wanesync.core.errors import CallError, Failure, VendorUnavailable
from wanesync.core.model import Side
from wanesync.reconcile.catch_up import CatchUpResult


class Rounds:
    """A catch-up with results that a test sets."""

    def __init__(self, results: dict[Side, CatchUpResult | CallError]) -> None:
        self.results = results

    def run(self, side: Side) -> CatchUpResult:
        result = self.results[side]
        if isinstance(result, CallError):
            raise result
        return result


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> dict[Side, CatchUpResult | CallError]:
    """The results of the next catch-up; a test changes them."""
    found: dict[Side, CatchUpResult | CallError] = {
        Side.HUBSPOT: CatchUpResult(Side.HUBSPOT, 2, 0, 1),
        Side.STRIPE: CatchUpResult(Side.STRIPE, 1, 1, 3),
    }
    monkeypatch.setattr(command, "build_runtime", lambda *_arguments, **_options: None)
    monkeypatch.setattr(command, "build_catch_up", lambda _runtime: Rounds(found))
    return found


def test_both_sides_are_reported(installation: Installation, results: dict[Side, CatchUpResult | CallError]) -> None:
    assert installation.run("catch-up").stdout.splitlines() == [
        "hubspot: 2 changes, 0 purchases not known before.",
        "stripe: 1 change, 1 purchase not known before.",
    ]
    assert installation.ask("catch-up") == {
        "hubspot": {"changed": 2, "purchases": 0, "requests": 1, "too_old": False},
        "stripe": {"changed": 1, "purchases": 1, "requests": 3, "too_old": False},
    }


def test_a_history_that_does_not_reach_back_far_enough_is_reported(
    installation: Installation, results: dict[Side, CatchUpResult | CallError]
) -> None:
    results[Side.STRIPE] = CatchUpResult(Side.STRIPE, 0, 0, 1, too_old=True)
    assert installation.run("catch-up").stdout.splitlines()[-1].strip() == command.TOO_OLD[Side.STRIPE]


def test_a_side_that_cannot_be_read_does_not_keep_the_other_from_its_catch_up(
    installation: Installation, results: dict[Side, CatchUpResult | CallError], capsys: pytest.CaptureFixture[str]
) -> None:
    results[Side.HUBSPOT] = CallError(Side.HUBSPOT, Failure.UNAVAILABLE, "down")
    with pytest.raises(VendorUnavailable, match="hubspot could not be read, and is read again next time"):
        command.catch_up(config_file=installation.file)
    assert capsys.readouterr().out == "stripe: 1 change, 1 purchase not known before.\n"


def test_a_right_that_the_key_lacks_is_named_with_the_way_out(
    installation: Installation, results: dict[Side, CatchUpResult | CallError], capsys: pytest.CaptureFixture[str]
) -> None:
    results[Side.STRIPE] = CallError(Side.STRIPE, Failure.FORBIDDEN, "status 403", 403, scope="rak_event_read")
    with pytest.raises(VendorUnavailable, match=r"lacks rak_event_read\): wanesync doctor names what the key lacks"):
        command.catch_up(config_file=installation.file)
    assert capsys.readouterr().out.startswith("hubspot: ")
