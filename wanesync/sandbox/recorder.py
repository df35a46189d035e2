"""A record of every request and its answer: one JSON object a line, without keys.

Who writes a client of the APIs reads it; the tests compare it with the vendors' specifications.
"""

from __future__ import annotations

import json
from typing import TextIO

from wanesync.sandbox.stand_in import Request, Response

SECRET_HEADERS = frozenset({"authorization", "cookie"})


class Recorder:
    """Writes to an open text file. Not thread-safe: the caller holds the lock of the sandbox."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def add(self, side: str, request: Request, response: Response) -> None:
        """Write one line. A lost answer is written, too: it is what the vendor did."""
        key = request.headers.get("authorization", "").rpartition(" ")[2]
        body = request.body.decode("utf-8", "replace")
        line = {
            "side": side,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": {name: value for name, value in request.headers.items() if name not in SECRET_HEADERS},
            # The call that describes a token has it in its body.
            "body": body.replace(key, "KEY") if key else body,
            "status": response.status,
            "answer_headers": dict(response.headers),
            "answer": response.body.decode("utf-8", "replace"),
        }
        self._file.write(json.dumps(line) + "\n")
