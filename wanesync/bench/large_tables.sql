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

-- Minutes and hours of figures; i counts back from the present one. The series are those of an installation that is busy.
-- name: minutes
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last),
    s (name, labels) AS (VALUES ('webhooks', 'side=hubspot,outcome=accepted'), ('webhooks', 'side=stripe,outcome=accepted'),
        ('events_stored', 'side=hubspot'), ('events_stored', 'side=stripe'),
        ('jobs_ended', 'side=hubspot,kind=read,ending=done'), ('jobs_ended', 'side=hubspot,kind=write,ending=done'),
        ('jobs_ended', 'side=stripe,kind=write,ending=done'), ('jobs_ended', 'side=stripe,kind=write,ending=retry'),
        ('vendor_requests', 'side=hubspot,operation=contacts.batch_read,result=ok'),
        ('vendor_requests', 'side=stripe,operation=customers.update,result=ok'),
        ('vendor_requests', 'side=stripe,operation=customers.update,result=rate_limited'),
        ('people', 'side=hubspot,result=within'), ('people', 'side=stripe,result=within'),
        ('people', 'side=stripe,result=beyond'))
INSERT INTO figures (name, span_ms, start_ms, labels, amount)
SELECT s.name, 60000, (CAST(:now AS BIGINT) / 60000 - n.i) * 60000, s.labels, 1 + (n.i * 7919) % 50 FROM n CROSS JOIN s;

-- name: minutes_of_times
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last),
    s (name, labels) AS (VALUES ('webhook_answer', 'side=hubspot'), ('webhook_answer', 'side=stripe'),
        ('job_pickup', 'side=hubspot,kind=read'), ('job_pickup', 'side=stripe,kind=write'),
        ('vendor_call', 'side=hubspot,operation=contacts.batch_read'),
        ('vendor_call', 'side=stripe,operation=customers.update'),
        ('end_to_end', 'side=hubspot,kind=write'), ('end_to_end', 'side=stripe,kind=write'))
INSERT INTO figures (name, span_ms, start_ms, labels, amount, total_ms, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11,
    b12, b13, b14, b15, b16, b17, b18, b19)
SELECT s.name, 60000, (CAST(:now AS BIGINT) / 60000 - n.i) * 60000, s.labels, 35, 9000, 0, 0, 1, 2, 4, 8, 8, 6, 3, 2, 1, 0,
    0, 0, 0, 0, 0, 0, 0, 0 FROM n CROSS JOIN s;

-- name: samples
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last),
    s (name) AS (VALUES ('size.hubspot'), ('size.stripe'), ('age.hubspot'), ('age.stripe'), ('limit.hubspot'),
        ('limit.stripe'))
INSERT INTO samples (name, span_ms, start_ms, value)
SELECT s.name, 60000, (CAST(:now AS BIGINT) / 60000 - n.i) * 60000, (n.i * 7919) % 50 FROM n CROSS JOIN s;

-- name: samples_by_hour
INSERT INTO samples (name, span_ms, start_ms, value)
SELECT name, 3600000, start_ms - start_ms % 3600000, MAX(value)
FROM samples WHERE span_ms = 60000 AND :first = 1 AND :last >= 1 AND start_ms <= :now
GROUP BY name, start_ms - start_ms % 3600000;

-- name: hours
INSERT INTO figures (name, span_ms, start_ms, labels, amount, total_ms, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11,
    b12, b13, b14, b15, b16, b17, b18, b19)
SELECT name, 3600000, start_ms - start_ms % 3600000, labels, SUM(amount), SUM(total_ms), SUM(b0), SUM(b1), SUM(b2), SUM(b3),
    SUM(b4), SUM(b5), SUM(b6), SUM(b7), SUM(b8), SUM(b9), SUM(b10), SUM(b11), SUM(b12), SUM(b13), SUM(b14), SUM(b15),
    SUM(b16), SUM(b17), SUM(b18), SUM(b19)
FROM figures WHERE span_ms = 60000 AND :first = 1 AND :last >= 1 AND start_ms <= :now
GROUP BY name, start_ms - start_ms % 3600000, labels;

-- Events of sixty days, the newest first, of 100,000 records; all are read and judged.
-- name: events
WITH RECURSIVE n (i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last),
    e (i, at_ms) AS (SELECT i, CAST(:now AS BIGINT) - i * 5184 FROM n)
INSERT INTO events (key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged)
SELECT 'event-' || i, CASE WHEN i % 2 = 0 THEN 'hubspot' ELSE 'stripe' END, 'updated', 'r' || (i % 100000), at_ms, at_ms,
    '', 'user/1', :sealed, 1, 1 FROM e;
