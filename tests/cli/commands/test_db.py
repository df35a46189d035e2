"""``db``: migrate and prune."""

from __future__ import annotations

import base64
import json

from typer.testing import CliRunner

from tests.support.installation import Installation
from tests.support.lanes import queue
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side


def test_a_migration_can_run_again(installation: Installation) -> None:
    assert installation.ask("db", "migrate")["state"] == "up to date"
    assert "is up to date." in installation.run("db", "migrate").stdout


def test_what_is_too_old_is_counted_in_a_dry_run_and_then_removed(installation: Installation) -> None:
    installation.file.write_text(installation.file.read_text() + "[retention]\ndone_job_days = 1\n")
    queue(installation.store, Side.STRIPE, JobKind.READ, 2)
    shown = installation.run("db", "prune", "--dry-run").stdout
    assert "Would be removed" in shown
    document = installation.ask("db", "prune")
    assert (document["dry_run"], isinstance(document["rows"], dict)) == (False, True)
    assert "Removed" in installation.run("db", "prune").stdout
    with installation.store.reading() as tx:
        assert [row["ready"] for row in tx.jobs.depth()] == [2], "open jobs stay"


CREATE = 'customers = "all"\ncontacts = "all"\n'


def on_postgres(installation: Installation, address: str) -> list[str]:
    """The options of a configuration that names a Postgres."""
    key = base64.b64encode(bytes(32)).decode()
    file = installation.file.with_name("postgres.toml")
    file.write_text(f'database = "{address}"\n[security]\nkeys = "k001:{key}"\n[create]\n{CREATE}')
    file.chmod(0o600)
    return ["--config", str(file)]


def test_the_statements_for_database_roles_are_printed_without_a_connection(installation: Installation) -> None:
    options = on_postgres(installation, "postgresql://ann@127.0.0.1:1/shop")
    done = CliRunner().invoke(app, ["db", "roles", "--prefix", "w_", *options])
    assert (done.exit_code, done.stdout.startswith("BEGIN;\n"), done.stdout.endswith("COMMIT;\n")) == (0, True, True)
    assert 'REVOKE ALL ON DATABASE "shop" FROM PUBLIC, w_intake' in done.stdout
    document = json.loads(CliRunner().invoke(app, ["db", "roles", "--json", *options]).stdout)
    assert (document["applied"], document["database"], document["roles"]["intake"]) == (
        False,
        "shop",
        "wanesync_intake",
    )
    assert document["tables"]["emails"]["intake"] == {}


def test_a_database_on_a_file_has_no_roles(installation: Installation) -> None:
    done = CliRunner().invoke(app, ["db", "roles", "--config", str(installation.file)])
    assert isinstance(done.exception, ConfigError)
    assert "only Postgres has roles" in str(done.exception)
    assert "| table | intake |" in installation.run("db", "roles", "--table").stdout
