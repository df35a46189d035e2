"""Every route of the API under every value its description allows, and under values it does not: schemathesis.

No answer may be a 5xx, have a status, content type or body outside the description, or accept what the description
forbids. ``python -m tests.robustness.api_fuzz [--examples N] [--seed K]`` prints what it found; the suite runs a small
version. The application is the real one on a SQLite database with a few of everything.
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import InvalidSchema
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err, Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.ops.test_holds import hold_people
from tests.support.admin import CHEAP, CONFIG, build_site
from wanesync.admin.api.openapi import build_document
from wanesync.admin.services import AdminServices
from wanesync.core.model import Side
from wanesync.core.operators import SYSTEM, OperatorRole
from wanesync.ops.access.tokens import create_token
from wanesync.store import Store, make_key, open_store

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
Operation = APIOperation[Any, Any, Any, Any]
REAL_SHARE = 0.5
"""Share of the requests whose ids in the path exist."""


@dataclass
class Findings:
    """Answers by operation and status, and what was wrong, once per operation and check."""

    answers: dict[str, Counter[int]] = field(default_factory=dict)
    wrong: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return sum(counter.total() for counter in self.answers.values())


@dataclass
class Target:
    """What is tried: an ASGI application and its description. ``known``: parameter of a path -> values that exist."""

    app: object
    document: dict[str, Any]
    headers: dict[str, str]
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)


def fuzz(target: Target, examples: int, start: int = 0) -> Findings:
    """Send ``examples`` requests of each mode to each operation; the same ones for the same ``start``."""
    description = schemathesis.openapi.from_dict(_drop_security(target.document))
    description.app = target.app
    found = Findings()
    for result in description.get_all_operations():
        operation = _accept(result)
        for mode in MODES:
            _try(operation, mode, _Sender(target, found, mode, random.Random(start)), examples, start)
    return found


def _drop_security(document: dict[str, Any]) -> dict[str, Any]:
    """Return a description without tokens: every request has one, so that each is as right or wrong as its values."""
    plain = copy.deepcopy(document)
    plain["components"].pop("securitySchemes", None)
    for item in plain["paths"].values():
        for operation in item.values():
            operation.pop("security", None)
    return plain


class _Sender:
    """Sends the requests of one operation and checks the answers."""

    def __init__(self, target: Target, found: Findings, mode: GenerationMode, chance: random.Random) -> None:
        self._target, self._found, self._mode, self._chance = target, found, mode, chance

    def send(self, case: Case[Any]) -> None:
        """Send one request."""
        known = self._target.known
        for name in case.path_parameters or ():
            if self._mode is GenerationMode.POSITIVE and name in known and self._chance.random() < REAL_SHARE:
                case.path_parameters[name] = self._chance.choice(known[name])
        label, headers = case.operation.label, self._target.headers
        answer = case.call(headers=headers)
        self._found.answers.setdefault(label, Counter())[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS, headers=headers)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._found.wrong.setdefault((label, type(failure).__name__), f"{failure}\n{case.as_curl_command()}")


def _accept(result: Ok[Operation] | Err[InvalidSchema]) -> Operation:
    if isinstance(result, Err):
        raise result.err()
    return result.ok()


def _try(operation: Operation, mode: GenerationMode, sender: _Sender, examples: int, start: int) -> None:
    @seed(start)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case[Any]) -> None:
        sender.send(case)

    # An operation without parameters cannot be called wrongly.
    with suppress(Unsatisfiable, SkipTest):
        run()


def seed_database(store: Store) -> dict[str, list[str]]:
    """Store a few of what operators look at; parameter of a path -> its values."""
    hold_id = hold_people(store, 3)
    return {"hold_id": [hold_id, "all"], "side": list(Side), "field": ["phone", "city"], "scope": list(Side)}


@contextmanager
def open_target() -> Iterator[Target]:
    """The application on a new database, with the token of an admin."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="wanesync-fuzz-"))
        store = stack.enter_context(closing(open_store(f"sqlite:{folder}/admin.db", [make_key("k001")], migrate=True)))
        site = build_site(AdminServices(store, CONFIG, passwords=CHEAP))
        _, token = create_token(store, SYSTEM, "fuzz", OperatorRole.ADMIN, 1)
        known = seed_database(store)
        yield Target(site.app, build_document(site.app), {"Authorization": f"Bearer {token}"}, known)


def main() -> int:
    """Try the whole API and print what was found; 1 if any answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=300, help="requests of each mode to each operation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with open_target() as target:
        found = fuzz(target, options.examples, options.seed)
    lines = [
        f"{label:60} " + "  ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
        for label, statuses in sorted(found.answers.items())
    ]
    lines += [f"\n{label}: {check}\n{text}" for (label, check), text in found.wrong.items()]
    lines.append(f"\n{found.requests} requests to {len(found.answers)} operations, {len(found.wrong)} findings\n")
    sys.stdout.write("\n".join(lines))
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
