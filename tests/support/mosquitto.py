"""A real Mosquitto for tests: on a free port, with its files in a folder, stopped by its process id."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port

FOUND = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
START_S = 20
SETTINGS = (
    "user root",  # the folder of a test is readable by its user only
    "allow_anonymous true",
    "set_tcp_nodelay true",
    "max_inflight_messages 1000",
    "max_queued_messages 200000",
    "autosave_interval 1",
    "persistence true",
)


class Mosquitto:
    """One broker. ``settings``: lines of its configuration, instead of ``SETTINGS``; each may use ``{folder}``.

    ``listener``: the lines of its listener below its port, for TLS.
    """

    def __init__(
        self, folder: Path, settings: tuple[str, ...] = SETTINGS, listener: tuple[str, ...] = (), scheme: str = "mqtt"
    ) -> None:
        if not Path(FOUND).exists():
            raise FileNotFoundError("mosquitto is missing: apt-get install mosquitto")
        self.folder, self.port = folder, free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._config = folder / "mosquitto.conf"
        lines = [*settings, f"persistence_location {folder}/", f"listener {self.port} 127.0.0.1", *listener]
        self._config.write_text("\n".join(lines).format(folder=folder) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([FOUND, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while True:
            assert self._process.poll() is None, self.log
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline, self.log
                time.sleep(0.02)
            else:
                return

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it: with SIGTERM it saves its state, with SIGKILL it does not."""
        deadline = time.monotonic() + START_S
        while self._process is not None and self._process.poll() is None:
            # One that listens, but is not in its main loop yet, forgets the signal.
            self._process.send_signal(number)
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, self.log

    def kill(self) -> None:
        """Kill it."""
        self.stop(signal.SIGKILL)

    def wipe(self) -> None:
        """Remove what it has stored; it must not run."""
        (self.folder / "mosquitto.db").unlink(missing_ok=True)


@contextmanager
def running(folder: Path) -> Iterator[Mosquitto]:
    """A broker without TLS and roles that runs while the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = Mosquitto(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
