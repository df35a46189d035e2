"""Ciphertexts that were altered or moved, in rows and in messages: every one must be refused, and stop nothing else.

    python -m tests.robustness.tampered_rows [--changes N] [--seed K]

A ciphertext of a database is changed: a bit flipped, cut, lengthened, its key id replaced by another one, put into
another row, column or table. Then its row is read, and must be refused by name, while other rows are read. The same is
done to messages of the bus. What is refused is logged at DEBUG with its traceback, and no value may stand there. At
last many rows are damaged at once, and a rewrap must name exactly these. Exits 1 if one was not refused, or showed.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import structlog

from tests.support.sealed_database import read_row, seed
from wanesync import log as logs
from wanesync.bus.envelope import NotSealed, Seal
from wanesync.bus.seal_keys import make_bus_key
from wanesync.core.errors import DecryptionFailed
from wanesync.ops.encryption_keys import Rewrap
from wanesync.output import print_line
from wanesync.store import Store, make_key, open_store
from wanesync.store.tables.sealed_rows import SEALED_TABLES, RowKey, SealedTable

PEOPLE = 30
OTHERS = 4
"""Rows that are read beside each damaged one."""
AT_ONCE = 40
TOPICS = ("wane/in/hubspot", "wane/in/stripe", "wane/work/stripe/update", "wane/done/hubspot/dead")
TABLES = {table.name: table for table in SEALED_TABLES}


def plant(number: int) -> dict[str, str]:
    """The values of one person, which stand nowhere else."""
    word = f"{number * 7_919 + 104_729:x}"
    return {
        "email": f"ann.{word}q@planted.example",
        "name": f"Zzyzx{word}q",
        "phone": f"+4930{number:04d}77{number:03d}",
        "city": f"Qqville{word}q",
    }


@dataclass(frozen=True, slots=True)
class Cell:
    """One ciphertext: its place and its bytes."""

    table: SealedTable
    key: RowKey
    column: str
    blob: bytes


Change = Callable[[Cell, list[Cell], random.Random], bytes]


def flip_bit(cell: Cell, _cells: list[Cell], rng: random.Random) -> bytes:
    """Flip one bit, anywhere."""
    at = rng.randrange(len(cell.blob) * 8)
    return cell.blob[: at // 8] + bytes([cell.blob[at // 8] ^ (1 << at % 8)]) + cell.blob[at // 8 + 1 :]


def flip_bit_of_the_content(cell: Cell, _cells: list[Cell], rng: random.Random) -> bytes:
    """Flip one bit behind the header."""
    return cell.blob[:17] + flip_bit(Cell(cell.table, cell.key, cell.column, cell.blob[17:]), [], rng)


def cut(cell: Cell, _cells: list[Cell], rng: random.Random) -> bytes:
    """Cut the end off; something is left, because nothing at all stands for an emptied event."""
    return cell.blob[: rng.randrange(1, len(cell.blob))]


def lengthen(cell: Cell, _cells: list[Cell], rng: random.Random) -> bytes:
    """Add bytes."""
    return cell.blob + rng.randbytes(rng.randint(1, 40))


def name_other_key(cell: Cell, _cells: list[Cell], _rng: random.Random) -> bytes:
    """Name the other configured key in the header."""
    return cell.blob[:1] + (b"key2" if cell.blob[1:5] == b"key1" else b"key1") + cell.blob[5:]


def name_unknown_key(cell: Cell, _cells: list[Cell], rng: random.Random) -> bytes:
    """Name a key that is not configured."""
    return cell.blob[:1] + rng.randbytes(4) + cell.blob[5:]


def move_from_another_row(cell: Cell, cells: list[Cell], rng: random.Random) -> bytes:
    """Put the ciphertext of another row of the table there."""
    return rng.choice([c for c in cells if c.table is cell.table and c.key != cell.key]).blob


def move_from_another_table(cell: Cell, cells: list[Cell], rng: random.Random) -> bytes:
    """Put the ciphertext of another table there."""
    return rng.choice([c for c in cells if c.table is not cell.table]).blob


def move_from_another_column(cell: Cell, cells: list[Cell], rng: random.Random) -> bytes:
    """Put the ciphertext of another column of the row there, or of another row where it has one column."""
    found = [c for c in cells if c.table is cell.table and c.key == cell.key and c.column != cell.column]
    return rng.choice(found).blob if found else move_from_another_row(cell, cells, rng)


CHANGES: tuple[Change, ...] = (
    flip_bit,
    flip_bit_of_the_content,
    cut,
    lengthen,
    name_other_key,
    name_unknown_key,
    move_from_another_row,
    move_from_another_table,
    move_from_another_column,
)


def find_cells(store: Store) -> list[Cell]:
    """Every ciphertext of a database."""
    found = []
    with store.reading() as tx:
        for table in SEALED_TABLES:
            keys = [mark.key for mark in tx.sealed_rows.marks(table, (), 1_000_000)]
            for row in tx.sealed_rows.read(table, keys):
                for column, blob in zip(table.columns, row[table.keys :], strict=True):
                    found.append(Cell(table, tuple(row[: table.keys]), column, bytes(blob)))
    return [cell for cell in found if cell.blob]


def write_cell(store: Store, cell: Cell, blob: bytes) -> None:
    """Put bytes into the place of a ciphertext, as someone with the database alone could."""
    names = {
        "records": ("side", "id"),
        "held_fields": ("link_id", "field"),
        "events": ("key",),
        "admin_users": ("name",),
    }
    columns = names.get(cell.table.name, ("payment_id",) if cell.table.name == "purchases" else ("id",))
    where = " AND ".join(f"{name} = :k{number}" for number, name in enumerate(columns))
    values: dict[str, object] = {f"k{number}": part for number, part in enumerate(cell.key)} | {"blob": blob}
    with store._database.session(store._context, writing=True) as session:
        session.execute(f"UPDATE {cell.table.name} SET {cell.column} = :blob WHERE {where}", values)


def play_rows(store: Store, changes: int, rng: random.Random) -> tuple[Counter[str], list[str]]:
    """Change ciphertexts one by one; how many of each change were refused, and what went wrong."""
    cells = find_cells(store)
    refused: Counter[str] = Counter()
    wrong = []
    for number in range(changes):
        change, cell = CHANGES[number % len(CHANGES)], rng.choice(cells)
        blob = change(cell, cells, rng)
        write_cell(store, cell, blob)
        where = f"{change.__name__} of {cell.table.name}.{cell.column} {cell.key}"
        error = read_row(store, cell.table.name, cell.key)
        if error is None:
            wrong.append(f"{where} was not noticed")
        else:
            refused[change.__name__] += 1
            _log_refusal(error)
        others = [other for other in rng.sample(cells, OTHERS) if (other.table, other.key) != (cell.table, cell.key)]
        wrong += [
            f"{where} stopped {o.table.name} {o.key}"
            for o in others
            if read_row(store, o.table.name, o.key) is not None
        ]
        write_cell(store, cell, cell.blob)
    return refused, wrong


def _log_refusal(error: Exception) -> None:
    try:
        raise error
    except (DecryptionFailed, NotSealed) as raised:
        structlog.get_logger().exception("refused", reason=str(raised), shown=repr(raised))


def play_many(store: Store, rng: random.Random) -> list[str]:
    """Damage many rows at once: a rewrap must name exactly these and encrypt all others again."""
    cells = [cell for cell in find_cells(store) if cell.blob]
    damaged = rng.sample(cells, AT_ONCE)
    for cell in damaged:
        write_cell(store, cell, flip_bit_of_the_content(cell, cells, rng))
    rewrap = Rewrap(store, lambda _: None)
    store.encryption.agree([])
    done = rewrap.run()
    expected = {(cell.table.name, cell.table.joint.join(cell.key)) for cell in damaged}
    wrong = [f"rewrap named {done.damaged}"] if set(done.damaged) != expected else []
    if done.left or sum(done.rows.values()) < len({(c.table.name, c.key) for c in cells}) - len(expected):
        wrong.append(f"rewrap left rows: {done}")
    return wrong


def play_messages(changes: int, rng: random.Random) -> tuple[Counter[str], list[str]]:
    """Change sealed messages of the bus; how many of each change were refused, and what went wrong."""
    seal = Seal([make_bus_key("key1"), make_bus_key("key2")])
    refused: Counter[str] = Counter()
    wrong = []
    cells = []
    for number in range(60):
        topic = TOPICS[number % len(TOPICS)]
        content = f"{plant(number)}".encode()
        cells.append(Cell(SEALED_TABLES[0], (topic, str(number)), "", seal.seal(topic, content)))
    for number in range(changes):
        change, cell = CHANGES[number % len(CHANGES)], rng.choice(cells)
        topic, blob = cell.key[0], cell.blob
        if change in {move_from_another_row, move_from_another_table, move_from_another_column}:
            # A copy on its own topic is a repetition, which is caught elsewhere: here it comes on another one.
            blob = rng.choice([other.blob for other in cells if other.key[0] != topic])
        else:
            blob = change(cell, cells, rng)
        try:
            seal.open(topic, blob)
            wrong.append(f"{change.__name__} of a message on {topic} was not noticed")
        except NotSealed as error:
            refused[change.__name__] += 1
            _log_refusal(error)
    return refused, wrong


def find_shown(text: str, people: int) -> Iterator[str]:
    """The planted values that stand in a text."""
    yield from (value for number in range(people) for value in plant(number).values() if value in text)


def play(changes: int, rng_seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Play all of it with a new database; the refusals by kind of change, and what went wrong."""
    rng, shown = random.Random(rng_seed), io.StringIO()
    logs.configure("debug", shown)
    keys = [make_key("key1"), make_key("key2")]
    with closing(open_store(f"sqlite:{folder / 'state.db'}", [keys[1], keys[0]], migrate=True)) as store:
        for number in range(PEOPLE):
            seed(store, number, plant(number))
    with closing(open_store(f"sqlite:{folder / 'state.db'}", keys)) as store:
        refused, wrong = play_rows(store, changes, rng)
        wrong += play_many(store, rng)
    of_messages, wrong_messages = play_messages(changes, rng)
    written = shown.getvalue()
    logged = written.count("refused")
    wrong += [f"the log shows {value}" for value in find_shown(written, 60)]
    if logged < sum(refused.values()):
        wrong.append("what was refused was not logged")
    return refused + Counter({f"message: {name}": n for name, n in of_messages.items()}), wrong + wrong_messages


def main() -> int:
    """Play, and print what was refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=1_000, help="of rows, and of messages")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wanesync-tampered-") as folder:
        refused, wrong = play(options.changes, options.seed, Path(folder))
    for name, count in sorted(refused.items()):
        print_line(f"{name:45} {count:6} refused")
    print_line(f"{sum(refused.values())} refused in {time.monotonic() - began_s:.0f} s, {len(wrong)} wrong")
    for line in wrong[:20]:
        print_line(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
