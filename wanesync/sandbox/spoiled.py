"""Answers of status 200 that lack what was asked, are far too large, or unpack to far more than was sent."""

from __future__ import annotations

import gzip
import random
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stand_in import Response

Json = dict[str, object]
BLOCK_BYTES = 1_000_000
BLOCKS = 1_000
"""A huge answer has 1 GB; a bomb has 1 MB and unpacks to 1 GB."""


def spoil(body: Json, faults: Faults, rng: random.Random, members: tuple[str, ...]) -> Json:
    """The body of an answer, empty or with a part missing as often as the faults say.

    ``members``: what a record may lack, ``properties.*`` standing for one of them. Draws nothing while both faults
    are off.
    """
    if faults.empty_answer and rng.random() < faults.empty_answer:
        return {}
    if not faults.partial_answer or rng.random() >= faults.partial_answer:
        return body
    name = "results" if "results" in body else "data"
    rows = body.get(name)
    if not isinstance(rows, list):
        return _spoil_record(body, rng, members)
    if not rows:
        return body
    place = rng.randrange(len(rows))
    # Only a batch, which names its inputs, can lack a result without an error: a list is what it is.
    lacks = "completedAt" in body and rng.random() < 0.25
    changed = [] if lacks else [_spoil_record(rows[place], rng, members)]
    return {**body, name: [*rows[:place], *changed, *rows[place + 1 :]]}


def _spoil_record(row: object, rng: random.Random, members: tuple[str, ...]) -> Json:
    if not isinstance(row, dict):
        return {}
    member = rng.choice(("id", *members))
    top, _, inner = member.partition(".")
    held = row.get(top)
    if inner and isinstance(held, dict) and held:
        lacking = rng.choice(sorted(held))
        return {**row, top: {name: value for name, value in held.items() if name != lacking}}
    return {name: value for name, value in row.items() if name != top}


def enlarge(response: Response, faults: Faults, rng: random.Random) -> Response:
    """The response, or one of 1 GB, as often as the faults say."""
    if faults.huge_answer and rng.random() < faults.huge_answer:
        return replace(response, body=b" " * BLOCK_BYTES, repeat=BLOCKS)
    if faults.gzip_bomb and rng.random() < faults.gzip_bomb:
        headers: Mapping[str, str] = {**response.headers, "Content-Encoding": "gzip"}
        return replace(response, headers=headers, body=_block(), repeat=BLOCKS)
    return response


@lru_cache(maxsize=1)
def _block() -> bytes:
    # Members of one gzip file may be joined (RFC 1952, section 2.2).
    return gzip.compress(b" " * BLOCK_BYTES, mtime=0)
