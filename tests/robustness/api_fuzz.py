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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
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
from tests.support.core_builders import link
from tests.support.stage import Stage
from tests.support.store_rows import a_stored
from wanesync.admin.api.openapi import build_document
from wanesync.admin.app import build_admin_app
from wanesync.admin_wiring import build_admin_services
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Conflict, Side
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.tokens import create_token
from wanesync.store import Store, Tx

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
"""Share of the ids in allowed requests that exist."""


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
    """An ASGI application and its description. ``known``: parameter or key of a body -> values that exist."""

    app: object
    document: dict[str, Any]
    headers: dict[str, str]
    known: Mapping[str, Sequence[Any]] = field(default_factory=dict)


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
        if self._mode is GenerationMode.POSITIVE:
            for values in (case.path_parameters, case.body):
                self._fill_in(values)
        label, headers = case.operation.label, self._target.headers
        answer = case.call(headers=headers)
        self._found.answers.setdefault(label, Counter())[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS, headers=headers)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._found.wrong.setdefault((label, type(failure).__name__), f"{failure}\n{case.as_curl_command()}")

    def _fill_in(self, values: object) -> None:
        """Put values that exist in place of made-up ones, in a share of the requests."""
        if isinstance(values, dict):
            for name in values.keys() & self._target.known.keys():
                if self._chance.random() < REAL_SHARE:
                    values[name] = self._chance.choice(self._target.known[name])


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


def seed_database(store: Store) -> dict[str, list[Any]]:
    """Store a few of everything that operators look at; parameter or key of a body -> values that exist."""
    hold_id = hold_people(store, 3)

    def fill(tx: Tx) -> list[str]:
        for number in range(3):
            pair = link(f"7{number}", f"cus_7{number}")
            tx.links.put(pair)
            tx.records.put_many([a_stored(Side.HUBSPOT, pair.hubspot_id), a_stored(Side.STRIPE, pair.stripe_id)])
            tx.conflicts.put(Conflict(Side.STRIPE, pair.stripe_id, "city", "Ulm", "overwritten"), pair.id)
            tx.journal.add("update", Side.STRIPE, pair.stripe_id, pair.id, {"fields": ["city"]})
            tx.jobs.put(JobRequest(Side.STRIPE, JobKind.READ, pair.stripe_id))
        claimed = tx.jobs.claim(Side.STRIPE, [JobKind.READ], 2, "fuzz")
        for job in claimed:
            tx.jobs.mark_dead(job, DeadClass.REFUSED, "refused for city")
        return [job.id for job in claimed]

    jobs = store.run(fill)
    with store.reading() as tx:
        conflicts = [row.id for row in tx.conflicts.list()]
    return {
        "hold_id": [hold_id, "all"],
        "side": list(Side),
        "field": ["phone", "city"],
        "scope": list(Side),
        "key": ["70", "cus_71"],
        "conflict_id": conflicts,
        "job_id": jobs,
        "ids": [jobs, conflicts],
        "contact_id": ["70", "71"],
        "customer_id": ["cus_70", "cus_71"],
        "expected": [1],
    }


@contextmanager
def open_target() -> Iterator[Target]:
    """The application with all its wiring on a new database beside the stand-ins, with the token of an admin."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wanesync-fuzz-")))
        stage = stack.enter_context(Stage(f"sqlite:{folder}/wanesync.db", folder))
        # A run that is started waits for a process, and none is started here.
        app = build_admin_app(replace(build_admin_services(stage.config, stage.store), reconciles=None))
        _, token = create_token(stage.store, SYSTEM, "fuzz", OperatorRole.ADMIN, 1)
        known = seed_database(stage.store)
        yield Target(app, build_document(app), {"Authorization": f"Bearer {token}", "Host": "127.0.0.1"}, known)


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
