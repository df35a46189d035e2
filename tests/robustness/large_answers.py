"""The memory of a process while HubSpot or Stripe answers with a gigabyte.

    python -m tests.robustness.large_answers

Each answer is read by a fresh process, which prints the most memory it has used; then 80 of the same answers by as many
threads at once, as the lanes of a worker call. Exits 1 if a process needs 200 MB.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

from tests.support.network import ANY_ADDRESS
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions
from wanesync.core.errors import CallError
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap

SIZE = 1_000_000_000
"""Bytes of each answer, unpacked."""
LIMIT_MB = 200
BLOCK = b" " * (1 << 20)
KINDS = ("length", "chunks", "gzip", "deflate", "behind", "error", "gzip error", "headers")
CALLS = 80
"""Calls of a worker at once (wanesync/adapters/stripe/transport.py, POOL_SIZE)."""
SIDES = ("hubspot", "stripe")


class Handler(BaseHTTPRequestHandler):
    """Answers with a gigabyte; the path begins with the kind."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send it, as long as it is read."""
        kind = self.path.split("/")[1].replace("%20", " ")
        with suppress(OSError):
            self.send_response(500 if "error" in kind else 200)
            self.send_header("Content-Type", "application/json")
            self._send(kind)
        self.close_connection = True

    do_POST = do_GET  # noqa: N815 - the name http.server looks for

    def _send(self, kind: str) -> None:
        if kind == "headers":
            self.flush_headers()
            for number in range(SIZE // 1_000):
                self.wfile.write(f"X-{number}: ".encode() + b"a" * 1_000 + b"\r\n")
            return
        packed = PACKED.get(kind.split(maxsplit=1)[0])
        if packed is not None:
            self.send_header("Content-Encoding", kind.split(maxsplit=1)[0])
        if kind == "behind":
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(gzip.compress(b"{}"))
            for _ in range(SIZE // len(BLOCK)):
                self.wfile.write(BLOCK)
            return
        if kind == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(SIZE // len(BLOCK)):
                self.wfile.write(b"%x\r\n" % len(BLOCK) + BLOCK + b"\r\n")
            return
        self.send_header("Content-Length", str(len(packed) if packed is not None else SIZE))
        self.end_headers()
        for block in [packed] if packed is not None else (BLOCK for _ in range(SIZE // len(BLOCK))):
            self.wfile.write(block)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


PACKED: dict[str, bytes] = {}
"""A gigabyte of blanks in about a megabyte, by its encoding."""


def pack() -> None:
    """Make the packed answers."""
    packer = zlib.compressobj(9)
    PACKED["deflate"] = b"".join(packer.compress(BLOCK) for _ in range(SIZE // len(BLOCK))) + packer.flush()
    packer = zlib.compressobj(9, wbits=31)
    PACKED["gzip"] = b"".join(packer.compress(BLOCK) for _ in range(SIZE // len(BLOCK))) + packer.flush()


class Server(ThreadingHTTPServer):
    """Takes all calls at once."""

    daemon_threads = True
    request_queue_size = 2 * CALLS


@contextmanager
def serving() -> Iterator[str]:
    """The address of the server."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def read_answers(side: str, address: str, calls: int) -> str:
    """Read answers at once: what became of them."""
    with ThreadPoolExecutor(calls) as pool:
        return "+".join(sorted(set(pool.map(lambda _: read_answer(side, address), range(calls)))))


def read_answer(side: str, address: str) -> str:
    """Read one answer: what became of it."""
    fields = FieldMap(DEFAULT_FIELDS)
    try:
        if side == "hubspot":
            found = HubSpotAdapter(HubSpotOptions("pat-x", address, network=ANY_ADDRESS), fields).read_contacts(["1"])[
                "1"
            ]
            return str(found.failure) if isinstance(found, CallError) else "accepted"
        StripeAdapter(StripeOptions("sk_test_x", address, network=ANY_ADDRESS, event_key=b"k"), fields).read_customer(
            "cus_1"
        )
    except CallError as error:
        return str(error.failure)
    return "accepted"


def measure(side: str, kind: str, address: str, calls: int = 1) -> tuple[str, float, float]:
    """Read answers at once in a fresh process: what became of them, the most memory in MB, seconds."""
    place = f"{address}/{kind.replace(' ', '%20')}"
    began_s = time.monotonic()
    command = [sys.executable, "-m", "tests.robustness.large_answers", "--read", side, place, str(calls)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True, timeout=180
    )
    outcome, kib = done.stdout.split()
    return outcome, int(kib) / 1024, time.monotonic() - began_s


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def read_peak_kib() -> int:
    """The most memory this process had at once; getrusage would count that of the process it was forked from."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """Measure every kind on both sides, or read one answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", nargs=3, metavar=("SIDE", "URL", "CALLS"))
    parser.add_argument("--kind", choices=KINDS, action="append")
    options = parser.parse_args()
    if options.read:
        side, place, calls = options.read
        say(f"{read_answers(side, place, int(calls))} {read_peak_kib()}")
        return
    pack()
    worst = 0.0
    with serving() as address:
        for side in SIDES:
            for kind, calls in product(options.kind or KINDS, (1, CALLS)):
                outcome, megabytes, took_s = measure(side, kind, address, calls)
                worst = max(worst, megabytes)
                say(f"{side:<8}{kind:<12}{calls:>3} {outcome:<14}{megabytes:6.0f} MB {took_s:6.1f} s")
                assert "accepted" not in outcome
    say(f"most: {worst:.0f} MB")
    sys.exit(1 if worst >= LIMIT_MB else 0)


if __name__ == "__main__":
    main()
