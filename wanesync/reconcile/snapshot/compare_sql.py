"""The comparison of a snapshot in SQL: what is the same on both sides is done with, only the rest is opened.

Records are joined by link, by our ids on them, and by e-mail (CORRECTNESS section 3). A linked pair is the same when
neither side moved from its half of the base and both say the same. A pair that is to be linked is plain when each is
the only one to carry the one address of the other, both say the same, and nothing else is known of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.reconcile.snapshot.results import Snapshot

_STEPS = (
    "DROP TABLE IF EXISTS temp.plain",
    # Among them a customer that is dead for us, and whose link nobody has ended yet.
    """
    INSERT OR IGNORE INTO opened
    SELECT 0, k.hubspot_id FROM links k
    JOIN listed c ON c.side = 0 AND c.id = k.hubspot_id
    LEFT JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
    WHERE k.active AND CASE
        WHEN s.id IS NULL THEN k.stripe_id NOT IN (SELECT v.id FROM vanished v WHERE v.side = 1)
        ELSE NOT (k.plain AND c.state = 0 AND s.state = 0 AND c.hash = s.hash
            AND c.exact = k.hubspot_half AND s.exact = k.stripe_half)
        END
    """,
    "CREATE TEMP TABLE plain (contact TEXT NOT NULL PRIMARY KEY, customer TEXT NOT NULL) WITHOUT ROWID",
    """
    INSERT INTO plain
    SELECT c.id, s.id FROM listed c
    CROSS JOIN addresses a ON a.hmac = c.address AND a.side = 1
    CROSS JOIN listed s ON s.side = 1 AND s.id = a.id
    WHERE c.side = 0 AND c.address IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.hubspot_id = c.id)
      AND c.hash = s.hash AND s.address = c.address AND c.other_id = '' AND s.other_id = ''
      AND c.state <> 1 AND s.state <> 1
      AND (SELECT COUNT(*) FROM addresses x WHERE x.hmac = c.address) = 2
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.stripe_id = s.id)
      AND NOT EXISTS (SELECT 1 FROM opened o WHERE o.side = 0 AND o.id = c.id)
      AND NOT EXISTS (SELECT 1 FROM opened o WHERE o.side = 1 AND o.id = s.id)
      AND NOT EXISTS (SELECT 1 FROM graves g WHERE g.hmac = c.address)
      AND NOT EXISTS (SELECT 1 FROM listed o WHERE o.side = 0 AND o.other_id <> '' AND o.other_id = s.id)
      AND NOT EXISTS (SELECT 1 FROM listed o WHERE o.side = 1 AND o.other_id <> '' AND o.other_id = c.id)
    """,
    """
    INSERT OR IGNORE INTO opened SELECT 0, r.id FROM listed r
    WHERE r.side = 0
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.hubspot_id = r.id AND k.active)
      AND NOT EXISTS (SELECT 1 FROM plain p WHERE p.contact = r.id)
    """,
    "CREATE TEMP TABLE customers_of_plain AS SELECT customer FROM plain",
    "CREATE UNIQUE INDEX temp.customers_of_plain_id ON customers_of_plain (customer)",
    """
    INSERT OR IGNORE INTO opened SELECT 1, r.id FROM listed r
    WHERE r.side = 1
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.stripe_id = r.id AND k.active)
      AND NOT EXISTS (SELECT 1 FROM customers_of_plain p WHERE p.customer = r.id)
    """,
    "DROP TABLE customers_of_plain",
    # Linked contacts that a customer without a link may belong to as well, by address and by our ids.
    """
    INSERT OR IGNORE INTO opened
    SELECT 0, c.id FROM addresses b
    JOIN addresses a ON a.hmac = b.hmac AND a.side = 0
    JOIN listed c ON c.side = 0 AND c.id = a.id
    WHERE b.side = 1 AND EXISTS (SELECT 1 FROM opened o WHERE o.side = 1 AND o.id = b.id)
    """,
    """
    INSERT OR IGNORE INTO opened
    SELECT 0, c.id FROM opened o
    JOIN listed s ON s.side = 1 AND s.id = o.id
    JOIN listed c ON c.side = 0 AND c.id = s.other_id
    WHERE o.side = 1
    """,
    """
    INSERT OR IGNORE INTO opened
    SELECT 0, c.id FROM opened o
    JOIN listed c ON c.side = 0 AND c.other_id <> '' AND c.other_id = o.id
    WHERE o.side = 1
    """,
    "INSERT INTO work (key, lane, kind) SELECT 'contact:' || contact, 'hubspot', 'plain' FROM plain ORDER BY contact",
)
_MOVED = """
SELECT COUNT(*) FROM opened o
JOIN links k ON k.hubspot_id = o.id AND k.active AND k.plain
JOIN listed c ON c.side = 0 AND c.id = o.id
JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
WHERE o.side = 0
"""


@dataclass(frozen=True, slots=True)
class Settled:
    """Pairs that need not be opened: ``linked`` ones that are the same, and ``to_link``, which are the same as well."""

    linked: int
    to_link: int


def settle(snapshot: Snapshot, plain_links: int) -> Settled:
    """Find what is the same; all other listed records are among the snapshot's opened ones afterwards.

    ``plain_links``: how many plain links have both ends listed.
    """
    with snapshot.writing():
        for step in _STEPS:
            snapshot.run(step)
    return Settled(plain_links - snapshot.number(_MOVED), snapshot.number("SELECT COUNT(*) FROM plain"))
