-- The data of one comparison, in a file of its own. Sides are 0 (HubSpot) and 1 (Stripe); hashes are keyed.

CREATE TABLE metadata (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Parts of a listing that are fetched in parallel: "next" is the cursor of the next page, "reached" the last place read.
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

-- "hash" of the comparison keys, "exact" of the values as they are, "address" of the only e-mail address (null: none or
-- several). "state": 0 same as the stored record, 1 changed, 2 new; 1 and 2 with the encrypted record in "changed".
CREATE TABLE listed (
    side INTEGER NOT NULL,
    id TEXT NOT NULL,
    hash BLOB NOT NULL,
    exact BLOB NOT NULL,
    other_id TEXT NOT NULL,
    address BLOB,
    state INTEGER NOT NULL,
    changed BLOB,
    PRIMARY KEY (side, id)
) WITHOUT ROWID;
CREATE INDEX listed_other ON listed (side, other_id) WHERE other_id <> '';
CREATE INDEX listed_changed ON listed (side, id) WHERE state > 0;

-- Listed records, or single fields of them, that cannot be used. An id is "" where even that cannot be read.
CREATE TABLE set_aside (side INTEGER NOT NULL, id TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (side, id, reason))
WITHOUT ROWID;

-- Contacts the database holds as alive and the listing shows as merged away.
CREATE TABLE merges (id TEXT NOT NULL PRIMARY KEY, survivor TEXT NOT NULL) WITHOUT ROWID;

-- Contacts read beyond the end of a span: the next span must have listed them, too.
CREATE TABLE overlaps (id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;

-- All addresses of listed records, and of stored records that were not listed.
CREATE TABLE addresses (
    hmac BLOB NOT NULL,
    side INTEGER NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (hmac, side, id)
) WITHOUT ROWID;

-- Links as stored: a half is the hash of what that side held when both last agreed. Indexed after the last insert.
CREATE TABLE links (
    hubspot_id TEXT NOT NULL,
    stripe_id TEXT NOT NULL,
    plain INTEGER NOT NULL,
    active INTEGER NOT NULL,
    hubspot_half BLOB NOT NULL,
    stripe_half BLOB NOT NULL
);

CREATE TABLE tombstones (hmac BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;

-- Records SQL cannot settle: the planner compares them.
CREATE TABLE to_plan (side INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (side, id)) WITHOUT ROWID;

-- Jobs to be queued: a key, its lane, and the classes of its differences, separated by commas.
CREATE TABLE jobs (number INTEGER NOT NULL PRIMARY KEY, key TEXT NOT NULL, lane TEXT NOT NULL, classes TEXT NOT NULL);
CREATE INDEX jobs_key ON jobs (key);

-- Records the database holds as alive and the side no longer lists.
CREATE TABLE unlisted (number INTEGER NOT NULL PRIMARY KEY, side INTEGER NOT NULL, id TEXT NOT NULL);
CREATE INDEX unlisted_id ON unlisted (id);

-- Addresses for which this run creates a record.
CREATE TABLE claimed_addresses (hmac BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;

-- Differences in the order in which they were found, each encrypted.
CREATE TABLE differences (number INTEGER NOT NULL PRIMARY KEY, class TEXT NOT NULL, key TEXT NOT NULL, detail BLOB NOT NULL);
CREATE INDEX differences_key ON differences (key, number);
CREATE INDEX differences_class ON differences (class, number);
