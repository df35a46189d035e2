"""Fixtures of all tests: databases of both kinds, and the real payloads beside the repository."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import postgres
from wanesync.store import make_key, open_store

pytest_plugins = ["tests.support.store_fixtures"]

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SLOW_FOLDERS = {"bench", "robustness", "simulation", "system"}
SERVER_FOLDER = "WANESYNC_TEST_SERVER_FOLDER"
MIGRATED = {"store", "installed", "opened", "pacers", "stage"}
"""Fixtures that open ``database_url`` and migrate it."""
COLLECTIONS = (50_000, 20, 100)
"""Thresholds of the garbage collection: a full one goes over all that the suite holds, which is much."""

# The parent is named, or Hypothesis would take other settings where the variable CI is set. No deadline: cores are
# shared with other tests, so the duration of one example means nothing.
settings.register_profile("wanesync", parent=settings.get_profile("default"), deadline=None)
settings.load_profile("wanesync")


def shared_folder() -> Path | None:
    """The folder with real payloads and specifications (``WANESYNC_SHARED``, default ``../shared``), if it stands."""
    folder = Path(os.environ.get("WANESYNC_SHARED") or ROOT.parent / "shared").resolve()
    return folder if folder.is_dir() else None


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder in which the first test that needs Postgres starts it; once, in the first process of a run."""
    # The tests start hundreds of processes; without their bytecode files each of these would compile the whole program.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A run in the background of a shell: its programs would ignore Ctrl-C as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.set_threshold(*COLLECTIONS)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if not hasattr(config, "workerinput"):
        os.environ[SERVER_FOLDER] = tempfile.mkdtemp(prefix="wanesync-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the Postgres that a worker process may have started; in the first process, which ends last."""
    if not hasattr(config, "workerinput") and SERVER_FOLDER in os.environ:
        postgres.stop(Path(os.environ.pop(SERVER_FOLDER)))


def pytest_report_header() -> str:
    """Say whether the tests that read real payloads are run."""
    folder = shared_folder()
    if folder is None:
        return "real payloads: none in ../shared (or WANESYNC_SHARED), the tests that read them are left out"
    return f"real payloads: {folder}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow tests; leave out those that use the folder with real payloads, where there is none."""
    for item in items:
        place = item.path.relative_to(TESTS).parts[0]
        if place == "simulation":
            item.add_marker(pytest.mark.simulation)
        if place in SLOW_FOLDERS or "postgres_server" in getattr(item, "fixturenames", ()) or _is_on_postgres(item):
            item.add_marker(pytest.mark.slow)
    if shared_folder() is None:
        absent = [item for item in items if "shared" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


def _is_on_postgres(item: pytest.Item) -> bool:
    """Whether ``database_url`` will start a Postgres for it."""
    return "postgres" in getattr(getattr(item, "callspec", None), "params", {}).values()


def pytest_collection_finish() -> None:
    """Leave what was collected out of the garbage collections of the tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real payloads and specifications."""
    folder = shared_folder()
    assert folder is not None, "tests that use it are left out without it"
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The address of a Postgres server: ``WANESYNC_TEST_PG``, or one started for this run."""
    return os.environ.get("WANESYNC_TEST_PG") or postgres.start(Path(os.environ[SERVER_FOLDER]))


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str) -> Iterator[postgres.Databases]:
    """Empty databases of that server."""
    databases = postgres.Databases(postgres_server)
    yield databases
    databases.drop()


@pytest.fixture
def postgres_url(postgres_databases: postgres.Databases) -> Iterator[str]:
    """The address of an empty Postgres database."""
    with postgres_databases.lend() as url:
        yield url


@pytest.fixture
def migrated_postgres_url(postgres_databases: postgres.Databases) -> Iterator[str]:
    """The address of a Postgres database with the schema."""
    with postgres_databases.lend_migrated() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of an SQLite database that does not exist yet."""
    return f"sqlite:{tmp_path / 'wanesync.db'}"


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an SQLite database with the schema and without an index key, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "wanesync.db"
    open_store(f"sqlite:{path}", [make_key("k001")], migrate=True).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM settings")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def migrated_sqlite_url(sqlite_url: str, migrated_file: Path) -> str:
    """The address of an SQLite database with the schema."""
    shutil.copy(migrated_file, sqlite_url.removeprefix("sqlite:"))
    return sqlite_url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a new database, once of each kind: empty, or with the schema where a fixture migrates it."""
    name = f"{request.param}_url"
    url = request.getfixturevalue(f"migrated_{name}" if MIGRATED.intersection(request.fixturenames) else name)
    assert isinstance(url, str)
    return url
