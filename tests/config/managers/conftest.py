"""Stand-ins of the managers, to which the official clients are led."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.support.manager_stand_in import Answer, Asked, ManagerStandIn
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.managers.references import Scheme
from wanesync.core.errors import ConfigError

Refuse = Callable[[Scheme, str], str]


@pytest.fixture(scope="session")
def _stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerStandIn]:
    with ManagerStandIn(tmp_path_factory.mktemp("managers"), lambda _: Answer(404)) as found:
        yield found


@pytest.fixture
def stand_in(_stand_in: ManagerStandIn, monkeypatch: pytest.MonkeyPatch) -> ManagerStandIn:
    for name, value in _stand_in.variables.items():
        monkeypatch.setenv(name, value)
    _stand_in.asked.clear()

    def nothing(_: Asked) -> Answer:
        return Answer(404)

    _stand_in.play = nothing
    return _stand_in


@pytest.fixture
def refuse() -> Refuse:
    def refused(scheme: Scheme, written: str) -> str:
        with pytest.raises(ConfigError) as caught:
            ManagerReader().read(scheme, written)
        (problem,) = caught.value.problems
        assert "planted" not in problem
        return problem

    return refused


@pytest.fixture(autouse=True)
def _no_log_holds_a_secret(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """At any level: the clients' own debug lines hold whole answers."""
    with caplog.at_level(logging.DEBUG):
        yield
    # Not those of the tests' own clients.
    ours = [record for record in caplog.get_records("call") if record.threadName == "secrets-manager"]
    assert not [record for record in ours if "sk_test_" in record.getMessage()]
