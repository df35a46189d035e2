-- What one comparison of both sides needs, in a file of its own. Sides are 0 (hubspot) and 1 (stripe); hashes are keyed.
CREATE TABLE about (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Parts of a listing that are fetched side by side: "next" is where the next page begins, "reached" the last place read.
CREATE TABLE spans (
    side INTEGER NOT NULL,
    number INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    next TEXT NOT NULL,
    reached INTEGER NOT NULL,
    done INTEGER NOT NULL,
    PRIMARY KEY (side, number)
) WITHOUT ROWID;

-- "address": the hash of its one address, null if it has none or several. "state": 0 as the database has it, 1 changed,
-- 2 new to it; the last two with their sealed copy.
CREATE TABLE listed (
    side INTEGER NOT NULL,
    id TEXT NOT NULL,
    hash BLOB NOT NULL,
    exact BLOB NOT NULL,
    other_id TEXT NOT NULL,
    address BLOB,
    state INTEGER NOT NULL,
    copy BLOB,
    PRIMARY KEY (side, id)
) WITHOUT ROWID;
CREATE INDEX listed_other ON listed (side, other_id) WHERE other_id <> '';
CREATE INDEX listed_copies ON listed (side, id) WHERE state > 0;

-- Contacts that live for the database and were merged away by what was listed.
CREATE TABLE merges (id TEXT NOT NULL PRIMARY KEY, survivor TEXT NOT NULL) WITHOUT ROWID;

-- Contacts seen beyond the end of a span: the next span must have seen them, too.
CREATE TABLE overlaps (id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE addresses (
    hmac BLOB NOT NULL,
    side INTEGER NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (hmac, side, id)
) WITHOUT ROWID;

-- Links as they stood: halves are the hashes of what each side held when they last agreed. Indexed once it is filled.
CREATE TABLE links (
    hubspot_id TEXT NOT NULL,
    stripe_id TEXT NOT NULL,
    plain INTEGER NOT NULL,
    active INTEGER NOT NULL,
    hubspot_half BLOB NOT NULL,
    stripe_half BLOB NOT NULL
);

CREATE TABLE graves (hmac BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;

-- Keys to be opened and planned; keys that need a pass, each in its lane; records that were not listed any more.
CREATE TABLE opened (side INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (side, id)) WITHOUT ROWID;
CREATE TABLE work (number INTEGER NOT NULL PRIMARY KEY, key TEXT NOT NULL, lane TEXT NOT NULL, kind TEXT NOT NULL);
CREATE INDEX work_key ON work (key);
CREATE TABLE vanished (number INTEGER NOT NULL PRIMARY KEY, side INTEGER NOT NULL, id TEXT NOT NULL);
CREATE INDEX vanished_id ON vanished (id);
CREATE TABLE creating (hmac BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;

-- Differences in the order in which they were found, each sealed.
CREATE TABLE found (number INTEGER NOT NULL PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, detail BLOB NOT NULL);
CREATE INDEX found_key ON found (key, number);
CREATE INDEX found_kind ON found (kind, number);
