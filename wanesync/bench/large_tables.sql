-- Rows by the million for a bench: one text for SQLite and Postgres, as in wanesync/store/sql/queries.sql.
-- Half of the jobs are of either lane. A tenth of those that ended did so within the hour, the others within a week.

-- name: done
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last),
    j (i, ended_ms) AS (SELECT i, CASE WHEN i % 10 = 0 THEN CAST(:now AS BIGINT) - (i * 7919) % 3600000
        ELSE CAST(:now AS BIGINT) - 3600000 - (i * 7919) % 600000000 END FROM n)
INSERT INTO jobs (id, lane, kind, key, state, priority, due_ms, due_is_fixed, arrived_ms, attempts, rescues, token, owner,
    waits_for, reason, dead_class, run_id, turns, superseded, ended_ms)
SELECT 'done-' || i, CASE WHEN i % 2 = 0 THEN 'hubspot' ELSE 'stripe' END,
    CASE WHEN i % 4 < 2 THEN 'read' ELSE 'write' END, 'key:' || i, 'done', 10, 0, 0, ended_ms - 900, 0, 0, 'token',
    'owner', '', '', '', '', 0, 0, ended_ms FROM j;

-- name: dead
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last),
    j (i, ended_ms) AS (SELECT i, CASE WHEN i % 10 = 0 THEN CAST(:now AS BIGINT) - (i * 7919) % 3600000
        ELSE CAST(:now AS BIGINT) - 3600000 - (i * 7919) % 600000000 END FROM n)
INSERT INTO jobs (id, lane, kind, key, state, priority, due_ms, due_is_fixed, arrived_ms, attempts, rescues, token, owner,
    waits_for, reason, dead_class, run_id, turns, superseded, ended_ms)
SELECT 'dead-' || i, CASE WHEN i % 2 = 0 THEN 'hubspot' ELSE 'stripe' END,
    CASE WHEN i % 4 < 2 THEN 'read' ELSE 'write' END, 'contact:' || i, 'dead', 10, 0, 0, ended_ms - 900, 1, 0, 'token',
    'owner', '', 'refused for phone', CASE WHEN i % 3 = 0 THEN 'refused' ELSE 'validation' END, '', 0, 0, ended_ms
FROM j;

-- name: ready
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO jobs (id, lane, kind, key, state, priority, due_ms, due_is_fixed, arrived_ms, attempts, rescues, token, owner,
    waits_for, reason, dead_class, run_id, turns, superseded, ended_ms)
SELECT 'ready-' || i, 'stripe', 'write', 'ready:' || i, 'ready', 10, 0, 0, CAST(:now AS BIGINT) - i, 0, 0, '', '', '',
    '', '', '', 0, 0, 0 FROM n;

-- Due in a day and of the best priority: what waits while writes are off.
-- name: waiting
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO jobs (id, lane, kind, key, state, priority, due_ms, due_is_fixed, arrived_ms, attempts, rescues, token, owner,
    waits_for, reason, dead_class, run_id, turns, superseded, ended_ms, is_far)
SELECT 'waiting-' || i, 'stripe', 'write', 'waiting:' || i, 'ready', 0, CAST(:now AS BIGINT) + 86400000, 1,
    CAST(:now AS BIGINT) - 900000 - i, 0, 0, '', '', 'writes_off', '', '', '', 0, 0, 0, 1 FROM n;

-- name: links
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO links (id, hubspot_id, stripe_id, is_primary, base, parked, put_back, version, state, map_generation,
    created_ms, updated_ms, hubspot_hash, stripe_hash)
SELECT 'link-' || i, 'h' || i, 'cus_' || i, 1, :sealed, CASE WHEN i % 1000 = 0 THEN :sealed ELSE :nothing END, :nothing, 1,
    CASE WHEN i % 500 = 0 THEN 'orphaned' ELSE 'active' END, 0, :now, :now, '', '' FROM n;

-- name: records
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO records (side, id, content, valid_from_ms, valid_to_ms, revision, stale, deleted, erased, absent_ms, missing,
    survivor, other_id, note_code, note, stored_ms)
SELECT CASE WHEN i % 2 = 0 THEN 'hubspot' ELSE 'stripe' END, CASE WHEN i % 2 = 0 THEN 'h' ELSE 'cus_' END || (i / 2),
    :sealed, :now, :now, 1, 0, 0, 0, 0, 0, '', '', '', '', :now FROM n;
