-- Every statement the program runs, one text for SQLite and Postgres (wanesync/store/queries.py adapts it).
-- rows by: the parameters that tell the rows of a batch apart, which Postgres then takes in one statement; of an UPDATE or
-- DELETE the first of them is compared with a column.
-- Where rows are selected by their keys, further conditions are written as state || '' = … or closed_ms + 0 = …:
-- otherwise Postgres, whose statistics of a queue are always outdated, scans the whole partial index of the condition.

-- name: database_time
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT);

-- settings

-- name: get_setting
SELECT value FROM settings WHERE name = :name;

-- name: get_settings
SELECT name, value FROM settings WHERE name IN (:names);

-- name: get_setting_shared
SELECT value FROM settings WHERE name = :name /* share */;

-- name: put_setting
INSERT INTO settings (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: add_setting
INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING;

-- name: drop_setting
DELETE FROM settings WHERE name = :name;

-- name: swap_setting
UPDATE settings SET value = :value WHERE name = :name AND value = :old RETURNING name;

-- records

-- A row for each address; the outer join keeps Postgres from beginning with the addresses.
-- name: records_of_side
SELECT r.id, r.content, r.valid_from_ms, r.valid_to_ms, r.revision, r.stale, r.deleted, r.survivor, r.note_code, r.note,
    r.unanswered, r.erased, r.absent_ms, r.missing, e.hmac
FROM records r LEFT JOIN emails e ON e.side = r.side AND e.id = r.id WHERE r.side = :side AND r.id IN (:ids);

-- name: unanswered_ids
SELECT id FROM records WHERE unanswered > 0 AND side = :side AND id > :after ORDER BY id LIMIT :limit;

-- name: emails_of_side
SELECT id, hmac FROM emails WHERE side = :side AND id IN (:ids);

-- name: stored_since
SELECT id FROM records WHERE side = :side AND id IN (:ids) AND stored_ms >= :since_ms
AND stored_ms <= :ahead_ms;

-- A copy whose revision or note is not the one that was read stays: the transaction decided from an older one. A note is
-- changed without a new revision, which would refuse the answers that are under way (docs/correctness.md#stripe-order).
-- name: put_record
INSERT INTO records (side, id, content, valid_from_ms, valid_to_ms, revision, stale, deleted, survivor, other_id,
    note_code, note, stored_ms, unanswered, erased, absent_ms, missing)
VALUES (:side, :id, :content, :valid_from_ms, :valid_to_ms, :revision, :stale, :deleted, :survivor, :other_id,
    :note_code, :note, :stored_ms, :unanswered, :erased, :absent_ms, :missing)
ON CONFLICT (side, id) DO UPDATE SET content = excluded.content, valid_from_ms = excluded.valid_from_ms,
    valid_to_ms = excluded.valid_to_ms, revision = excluded.revision, stale = excluded.stale,
    deleted = excluded.deleted, survivor = excluded.survivor, other_id = excluded.other_id,
    note_code = excluded.note_code, note = excluded.note, stored_ms = excluded.stored_ms,
    unanswered = excluded.unanswered, erased = excluded.erased, absent_ms = excluded.absent_ms,
    missing = excluded.missing
WHERE :read_revision < 0 OR (records.revision = :read_revision AND records.note_code = :read_note_code
    AND records.note = :read_note) RETURNING side, id /* rows by id side */;

-- A merge that is committed first is seen, and one that begins now waits for the end of this transaction.
-- name: hold_contacts
SELECT id FROM records WHERE side = 'hubspot' AND id IN (:ids) ORDER BY id /* share */;

-- name: lock_record
SELECT id FROM records WHERE side = :side AND id = :id /* lock */;

-- Rows that another transaction has locked are left out: it stores one of these copies now.
-- name: hold_copies
SELECT id, revision FROM records WHERE side = :side AND id IN (:ids) ORDER BY id /* skip locked */;

-- name: add_email
INSERT INTO emails (side, id, hmac) VALUES (:side, :id, :hmac) ON CONFLICT (side, id, hmac) DO NOTHING /* rows by id hmac side */;

-- name: drop_email
DELETE FROM emails WHERE side = :side AND id = :id AND hmac = :hmac /* rows by id hmac side */;

-- A count instead of a join: Postgres may begin a join with all records.
-- name: records_by_hmacs
SELECT e.hmac, e.side, e.id FROM emails e
WHERE e.hmac IN (:hmacs)
AND (SELECT COUNT(*) FROM records r WHERE r.side = e.side AND r.id = e.id AND r.deleted = 0 AND r.survivor = '') > 0;

-- name: records_by_other_ids
SELECT side, id FROM records
WHERE side = :side AND other_id <> '' AND other_id IN (:ids) AND deleted = 0 AND survivor = '';

-- name: merged_from
SELECT id FROM records WHERE side = 'hubspot' AND deleted IN (0, 1) AND survivor <> '' AND survivor IN (:ids);

-- name: merged_into
SELECT id, survivor FROM records WHERE side = 'hubspot' AND survivor <> '' AND id IN (:ids);

-- Each of :copies is "id revision": a copy that was stored again since it was read stays as it is.
-- name: touch_records
UPDATE records SET valid_from_ms = :valid_from_ms, valid_to_ms = :valid_to_ms, revision = revision + 1,
    stored_ms = :now
WHERE side = :side AND id IN (:ids) AND id || ' ' || revision IN (:copies);

-- What an operator decided stays.
-- name: note_damaged
UPDATE records SET note_code = 'damaged', note = :note
WHERE side = :side AND id = :id AND note_code NOT IN ('by_decision', 'wanted');

-- name: mark_stale
UPDATE records SET stale = 1, revision = revision + 1
WHERE side = :side AND id IN (:ids) AND deleted = 0 AND survivor = '';

-- name: set_note
UPDATE records SET note_code = :note_code, note = :note WHERE side = :side AND id = :id /* rows by id side */;

-- What an operator decided since the plan was made stays, as far as a planner leaves it (Planner._note).
-- name: set_planned_note
UPDATE records SET note_code = :note_code, note = :note WHERE side = :side AND id = :id AND note_code <> 'by_decision'
AND (note_code <> 'wanted' OR :note_code IN ('', 'erased')) /* rows by id side */;

-- The total minus the few exceptions: a million records are counted from indexes alone.
-- name: count_records
SELECT (SELECT COUNT(*) FROM records WHERE side = :side)
    - (SELECT COUNT(*) FROM records WHERE side = :side AND (deleted = 1 OR survivor <> ''));

-- name: record_ids
SELECT id FROM records WHERE side = :side AND id > :after AND deleted = 0 AND survivor = '' ORDER BY id LIMIT :limit;

-- name: record_contents
SELECT id, content FROM records
WHERE side = :side AND id > :after AND deleted = 0 AND survivor = '' ORDER BY id LIMIT :limit;

-- name: deleted_revisions
SELECT id, revision FROM records WHERE side = :side AND id IN (:ids) AND deleted = 1;

-- name: missing_records
SELECT side, id FROM records WHERE missing = 1 AND side || ':' || id > :after ORDER BY side || ':' || id LIMIT :limit;

-- name: count_missing
SELECT COUNT(*) FROM records WHERE missing = 1;

-- name: noted_records
SELECT side, id FROM records WHERE note_code <> '' AND note_code = :code ORDER BY side, id;

-- links

-- name: get_link
SELECT id, hubspot_id, stripe_id, is_primary, base, version, state, parked, put_back, map_generation
FROM links WHERE id = :id;

-- name: links_by_ids
SELECT id, hubspot_id, stripe_id, is_primary, base, version, state, parked, put_back, map_generation
FROM links WHERE id IN (:ids);

-- name: links_of_contacts
SELECT id, hubspot_id, stripe_id, is_primary, base, version, state, parked, put_back, map_generation
FROM links WHERE hubspot_id IN (:ids);

-- name: links_of_customers
SELECT id, hubspot_id, stripe_id, is_primary, base, version, state, parked, put_back, map_generation
FROM links WHERE stripe_id IN (:ids);

-- name: active_customers
SELECT stripe_id FROM links WHERE stripe_id IN (:ids) AND state = 'active';

-- name: add_link
INSERT INTO links (id, hubspot_id, stripe_id, is_primary, base, parked, put_back, version, state, map_generation,
    created_ms, updated_ms, hubspot_hash, stripe_hash)
VALUES (:id, :hubspot_id, :stripe_id, :is_primary, :base, :parked, :put_back, :version, :state, :map_generation,
    :now, :now, :hubspot_hash, :stripe_hash)
ON CONFLICT (id) DO NOTHING RETURNING id /* rows by id */;

-- name: change_link
UPDATE links SET hubspot_id = :hubspot_id, stripe_id = :stripe_id, is_primary = :is_primary, base = :base,
    parked = :parked, put_back = :put_back, version = :version, state = :state, map_generation = :map_generation,
    updated_ms = :now, hubspot_hash = :hubspot_hash, stripe_hash = :stripe_hash
WHERE id = :id AND version = :version - 1 RETURNING id /* rows by id */;

-- name: links_with_put_back
SELECT id, hubspot_id, stripe_id, version, put_back FROM links WHERE length(put_back) > 0 ORDER BY id;

-- name: change_put_back
UPDATE links SET put_back = :put_back, version = :version, updated_ms = :now
WHERE id = :id AND version = :version - 1 RETURNING id;

-- name: parked_contacts
SELECT id, hubspot_id FROM links WHERE length(parked) > 0 AND id > :after AND state = 'active' ORDER BY id LIMIT :limit;

-- name: count_active_links
SELECT COUNT(*) FROM links WHERE state = 'active';

-- name: count_links
SELECT (SELECT COUNT(*) FROM links), (SELECT COUNT(*) FROM links WHERE state <> 'active' AND state = 'orphaned'),
    (SELECT COUNT(*) FROM links WHERE state <> 'active' AND state = 'released'),
    (SELECT COUNT(*) FROM links WHERE length(parked) > 0);

-- name: link_outlines
SELECT id, hubspot_id, stripe_id, CASE WHEN is_primary = 1 AND length(parked) = 0 THEN 1 ELSE 0 END,
    CASE WHEN state = 'active' THEN 1 ELSE 0 END, hubspot_hash, stripe_hash
FROM links WHERE id > :after ORDER BY id LIMIT :limit;

-- events

-- name: add_event
INSERT INTO events (key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged)
VALUES (:key, :side, :kind, :record_id, :occurred_ms, :received_ms, :request_key, :source, :data, :is_read, :is_judged)
ON CONFLICT (key) DO NOTHING RETURNING key /* rows by key */;

-- name: get_event
SELECT key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged
FROM events WHERE key = :key;

-- name: unread_events
SELECT key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged
FROM events WHERE side = :side AND record_id IN (:ids) AND is_read = 0 ORDER BY occurred_ms, received_ms, key LIMIT :limit;

-- name: count_unread_events
SELECT record_id, COUNT(*) FROM events WHERE side = :side AND record_id IN (:ids) AND is_read = 0 GROUP BY record_id;

-- name: unjudged_events
SELECT key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged
FROM events WHERE side = :side AND record_id IN (:ids) AND is_judged = 0
ORDER BY is_read DESC, occurred_ms, received_ms, key LIMIT :limit;

-- name: events_since
SELECT key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged
FROM events WHERE side = :side AND record_id IN (:ids) AND occurred_ms >= :since_ms
ORDER BY occurred_ms, received_ms, key LIMIT :limit;

-- name: latest_events
SELECT key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged
FROM events WHERE is_read = 1 AND is_judged = 1 AND emptied = 0 AND side = :side
ORDER BY received_ms DESC LIMIT :limit;

-- name: events_before
SELECT key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged
FROM events WHERE side = :side AND record_id IN (:ids) AND occurred_ms >= :since_ms AND occurred_ms < :before_ms
ORDER BY occurred_ms DESC, received_ms DESC, key DESC LIMIT :limit;

-- name: count_events_since
SELECT record_id, COUNT(*) FROM events WHERE side = :side AND record_id IN (:ids) AND occurred_ms >= :since_ms
GROUP BY record_id;

-- name: events_of_kinds
SELECT key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged
FROM events WHERE side = :side AND record_id IN (:ids) AND kind IN (:kinds)
ORDER BY occurred_ms, received_ms, key;

-- name: events_newest_first
SELECT key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged
FROM events WHERE side = :side AND record_id IN (:ids) AND occurred_ms >= :since_ms
ORDER BY occurred_ms DESC, received_ms DESC, key DESC;

-- name: event_marks
SELECT key, is_read FROM events WHERE key IN (:keys);

-- name: records_with_events
SELECT DISTINCT record_id FROM events WHERE side = :side AND record_id > :after AND occurred_ms >= :since_ms
ORDER BY record_id LIMIT :limit;

-- name: mark_events_read
UPDATE events SET is_read = 1 WHERE key IN (:keys) AND is_read + 0 = 0;

-- name: unread_marks
SELECT key, record_id, occurred_ms, received_ms, kind FROM events
WHERE side = :side AND record_id IN (:ids) AND is_read = 0 ORDER BY key;

-- name: records_with_unjudged
SELECT DISTINCT e.record_id FROM events e
WHERE e.side = :side AND e.record_id IN (:ids) AND e.is_judged = 0 AND (e.is_read + 0 = 1 OR (
    SELECT COUNT(*) FROM records r WHERE r.side = e.side AND r.id = e.record_id AND r.deleted = 0 AND r.survivor = '') < 1);

-- name: mark_events_judged
UPDATE events SET is_judged = 1 WHERE key IN (:keys) AND is_judged + 0 = 0;

-- name: add_webhook_count
INSERT INTO webhook_counts (side, outcome, minute_ms, requests, last_ms)
VALUES (:side, :outcome, :minute_ms, :requests, :now)
ON CONFLICT (side, outcome, minute_ms)
DO UPDATE SET requests = webhook_counts.requests + excluded.requests, last_ms = excluded.last_ms /* rows by side outcome minute_ms */;

-- name: sum_webhook_counts
SELECT side, outcome, SUM(CASE WHEN minute_ms >= :since_ms THEN requests ELSE 0 END), SUM(requests), MAX(last_ms)
FROM webhook_counts GROUP BY side, outcome;

-- name: add_rejected
INSERT INTO rejected (id, side, reason, body, at_ms) VALUES (:id, :side, :reason, :body, :now)
ON CONFLICT (id) DO NOTHING;

-- name: list_rejected
SELECT id, side, reason, body, at_ms FROM rejected ORDER BY at_ms DESC, id DESC LIMIT :limit;

-- name: rejected_outlines
SELECT side, reason, at_ms FROM rejected ORDER BY at_ms DESC, id DESC LIMIT :limit;

-- name: count_rejected
SELECT COUNT(*) FROM rejected;

-- jobs

-- name: queue_job
INSERT INTO jobs (id, lane, kind, key, state, priority, due_ms, due_is_fixed, arrived_ms, attempts, rescues, token, owner,
    waits_for, reason, dead_class, run_id, turns, superseded, ended_ms, is_far)
VALUES (:id, :lane, :kind, :key, 'ready', :priority, :due_ms, 0, :arrived_ms, 0, 0, '', '', '', '', '', :run_id, :turns, 0, 0,
    :is_far)
ON CONFLICT (lane, kind, key) WHERE state = 'ready' DO UPDATE SET
    priority = CASE WHEN excluded.priority < jobs.priority THEN excluded.priority ELSE jobs.priority END,
    arrived_ms = CASE WHEN excluded.arrived_ms < jobs.arrived_ms THEN excluded.arrived_ms ELSE jobs.arrived_ms END,
    due_ms = CASE WHEN jobs.due_is_fixed = 0 AND excluded.due_ms < jobs.due_ms THEN excluded.due_ms ELSE jobs.due_ms END,
    is_far = CASE WHEN jobs.due_is_fixed = 0 AND excluded.due_ms < jobs.due_ms THEN excluded.is_far ELSE jobs.is_far END,
    attempts = CASE WHEN jobs.due_is_fixed = 0 THEN 0 ELSE jobs.attempts END,
    turns = CASE WHEN excluded.turns < 1 AND jobs.due_is_fixed = 0 THEN 0
        WHEN excluded.turns > jobs.turns THEN excluded.turns ELSE jobs.turns END,
    run_id = CASE WHEN excluded.run_id <> '' THEN excluded.run_id ELSE jobs.run_id END /* rows by lane kind key */;

-- name: supersede_dead_jobs
UPDATE jobs SET state = 'done', superseded = 1, ended_ms = :now
WHERE lane = :lane AND kind = :kind AND key IN (:keys) AND state = 'dead';

-- name: make_jobs_due
UPDATE jobs SET due_ms = :now, is_far = 0, due_is_fixed = 0, attempts = 0, turns = 0 WHERE state = 'ready' AND waits_for = :waits_for
RETURNING id;

-- name: make_keys_due
UPDATE jobs SET due_ms = :now, is_far = 0, turns = 0 WHERE lane = :lane AND kind = :kind AND key IN (:keys) AND state = 'ready'
AND waits_for = :waits_for AND due_is_fixed = 0 AND due_ms > :now RETURNING id;

-- name: queue_far_jobs
UPDATE jobs SET is_far = 0 WHERE id IN (
    SELECT id FROM jobs WHERE lane = :lane AND state = 'ready' AND is_far = 1 AND due_ms <= :now
    ORDER BY due_ms, id LIMIT :limit /* skip locked */);

-- One branch for each kind, so that a kind of which there is none is found without a walk over the others.
-- Whether a key runs is a count: Postgres turns NOT EXISTS into a join, which with outdated statistics reads every running
-- row for each ready one.
-- name: next_claimable_job
SELECT kind, priority, rescues FROM (
    SELECT kind, priority, rescues, arrived_ms, id FROM (
        SELECT kind, priority, rescues, arrived_ms, id FROM jobs r
        WHERE lane = :lane AND kind = 'read' AND :read = 1 AND state = 'ready' AND is_far = 0 AND due_ms <= :now
        AND priority >= :least AND priority < :below AND (
            SELECT COUNT(*) FROM jobs x
            WHERE x.key = r.key AND x.kind = r.kind AND x.lane = r.lane AND x.state = 'running') < 1
        ORDER BY priority, arrived_ms, id LIMIT 1) AS best_read
    UNION ALL
    SELECT kind, priority, rescues, arrived_ms, id FROM (
        SELECT kind, priority, rescues, arrived_ms, id FROM jobs r
        WHERE lane = :lane AND kind = 'write' AND :write = 1 AND state = 'ready' AND is_far = 0 AND due_ms <= :now
        AND priority >= :least AND priority < :below AND (
            SELECT COUNT(*) FROM jobs x
            WHERE x.key = r.key AND x.kind = r.kind AND x.lane = r.lane AND x.state = 'running') < 1
        ORDER BY priority, arrived_ms, id LIMIT 1) AS best_write
    UNION ALL
    SELECT kind, priority, rescues, arrived_ms, id FROM (
        SELECT kind, priority, rescues, arrived_ms, id FROM jobs r
        WHERE lane = :lane AND kind = 'purchase' AND :purchase = 1 AND state = 'ready' AND is_far = 0 AND due_ms <= :now
        AND priority >= :least AND priority < :below AND (
            SELECT COUNT(*) FROM jobs x
            WHERE x.key = r.key AND x.kind = r.kind AND x.lane = r.lane AND x.state = 'running') < 1
        ORDER BY priority, arrived_ms, id LIMIT 1) AS best_purchase
    UNION ALL
    SELECT kind, priority, rescues, arrived_ms, id FROM (
        SELECT kind, priority, rescues, arrived_ms, id FROM jobs r
        WHERE lane = :lane AND state = 'ready' AND is_far = 1 AND due_ms <= :now
        AND ((kind = 'read' AND :read = 1) OR (kind = 'write' AND :write = 1) OR (kind = 'purchase' AND :purchase = 1))
        AND priority >= :least AND priority < :below AND (
            SELECT COUNT(*) FROM jobs x
            WHERE x.key = r.key AND x.kind = r.kind AND x.lane = r.lane AND x.state = 'running') < 1
        ORDER BY due_ms, id LIMIT 1) AS longest_far
) AS best
ORDER BY priority, arrived_ms, id LIMIT 1;

-- What a claim looks for before its jobs: far ones that are due now, and those that crashed two processes.
-- name: before_claim
SELECT 'far' WHERE EXISTS (
    SELECT 1 FROM jobs WHERE lane = :lane AND state = 'ready' AND is_far = 1 AND due_ms <= :now)
UNION ALL SELECT 'waits' WHERE EXISTS (
    SELECT 1 FROM jobs WHERE lane = :lane AND state = 'ready' AND rescues >= 2 AND due_ms <= :now)
UNION ALL SELECT 'runs' WHERE EXISTS (
    SELECT 1 FROM jobs WHERE owner = :owner AND owner <> '' AND state = 'running' AND rescues >= 2);

-- name: claim_jobs
UPDATE jobs SET state = 'running', token = :token || id, owner = :owner, turns = turns + 1, claimed_ms = :now,
    is_far = 0
WHERE id IN (
    SELECT id FROM jobs r
    WHERE lane = :lane AND kind = :kind AND state = 'ready' AND is_far = 0 AND due_ms <= :now AND priority >= :least
    AND priority < :below
    AND rescues < 2 AND (
        SELECT COUNT(*) FROM jobs x
        WHERE x.key = r.key AND x.kind = r.kind AND x.lane = r.lane AND x.state = 'running') < 1
    ORDER BY priority, arrived_ms, id LIMIT :limit /* skip locked */)
RETURNING id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns;

-- As claim_jobs; an equal priority lets the walk begin at the arrival.
-- name: claim_fresh_jobs
UPDATE jobs SET state = 'running', token = :token || id, owner = :owner, turns = turns + 1, claimed_ms = :now,
    is_far = 0
WHERE id IN (
    SELECT id FROM jobs r
    WHERE lane = :lane AND kind = :kind AND state = 'ready' AND is_far = 0 AND due_ms <= :now AND priority = :priority
    AND arrived_ms >= :since_ms
    AND rescues < 2 AND (
        SELECT COUNT(*) FROM jobs x
        WHERE x.key = r.key AND x.kind = r.kind AND x.lane = r.lane AND x.state = 'running') < 1
    ORDER BY arrived_ms, id LIMIT :limit /* skip locked */)
RETURNING id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns;

-- name: claim_suspect
UPDATE jobs SET state = 'running', token = :token || id, owner = :owner, turns = turns + 1, claimed_ms = :now,
    is_far = 0
WHERE id IN (
    SELECT id FROM jobs r
    WHERE lane = :lane AND state = 'ready' AND rescues >= 2 AND due_ms <= :now AND kind IN (:kinds) AND (
        SELECT COUNT(*) FROM jobs x
        WHERE x.key = r.key AND x.kind = r.kind AND x.lane = r.lane AND x.state = 'running') < 1
    -- Jobs that run beside poison are requeued with it: it waits until its process runs nothing, with a limit.
    AND (due_ms < :starved_ms OR (
        SELECT COUNT(*) FROM jobs y WHERE y.owner = :owner AND y.owner <> '' AND y.state = 'running') < 1)
    ORDER BY priority, arrived_ms, id LIMIT 1 /* skip locked */)
RETURNING id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns;

-- The job that has been due longest: one that made the last probe fail is due again only now.
-- name: claim_probe
UPDATE jobs SET state = 'running', token = :token || id, owner = :owner, turns = turns + 1, claimed_ms = :now,
    is_far = 0
WHERE id IN (
    SELECT id FROM jobs r
    WHERE lane = :lane AND state = 'ready' AND due_ms <= :now AND due_ms > -1 AND kind IN (:kinds) AND rescues < 2 AND (
        SELECT COUNT(*) FROM jobs x
        WHERE x.key = r.key AND x.kind = r.kind AND x.lane = r.lane AND x.state = 'running') < 1
    ORDER BY due_ms, id LIMIT 1 /* skip locked */)
RETURNING id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns;

-- name: unclaim_jobs
UPDATE jobs SET state = 'ready', token = '', owner = '', turns = turns - 1 WHERE id IN (:ids) AND state || '' = 'running';

-- name: reset_turns
UPDATE jobs SET turns = 0 WHERE id IN (:ids) AND state || '' = 'running';

-- name: turns_of
SELECT id, turns FROM jobs WHERE id IN (:ids);

-- name: failing_jobs
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns FROM jobs WHERE state = 'ready' AND attempts >= 6 ORDER BY attempts DESC, id LIMIT :limit;

-- name: idle_jobs
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns FROM jobs WHERE state = 'ready' AND turns >= 20 ORDER BY turns DESC, id LIMIT :limit;

-- name: next_due
SELECT due_ms FROM jobs r WHERE lane = :lane AND state = 'ready' AND due_ms > -1 AND (
        SELECT COUNT(*) FROM jobs x
        WHERE x.key = r.key AND x.kind = r.kind AND x.lane = r.lane AND x.state = 'running') < 1
ORDER BY due_ms LIMIT 1;

-- name: newly_due_jobs
SELECT id, kind, due_ms, EXISTS (SELECT 1 FROM links l
    WHERE l.hubspot_id = SUBSTR(r.key, 9) AND l.state = 'active' AND r.key LIKE 'contact:%')
FROM jobs r WHERE lane = :lane AND state = 'ready' AND due_ms > -1 AND due_ms > :from_ms AND due_ms <= :now
ORDER BY due_ms DESC LIMIT :limit;

-- name: next_due_after
SELECT due_ms FROM jobs WHERE lane = :lane AND state = 'ready' AND due_ms > -1 AND due_ms > :now ORDER BY due_ms LIMIT 1;

-- name: running_in_lease
SELECT j.id, j.token FROM jobs j WHERE j.id IN (:ids) AND j.state || '' = 'running'
AND EXISTS (SELECT 1 FROM processes p WHERE p.name = j.owner AND p.heartbeat_ms > :fresh_ms AND p.heartbeat_ms <= :ahead_ms);

-- name: lock_running_in_lease
SELECT j.id, j.token FROM jobs j WHERE j.id IN (:ids) AND j.state || '' = 'running'
AND EXISTS (SELECT 1 FROM processes p WHERE p.name = j.owner AND p.heartbeat_ms > :fresh_ms AND p.heartbeat_ms <= :ahead_ms)
ORDER BY j.id /* lock */;

-- A token belongs to one job.
-- name: finish_jobs
UPDATE jobs SET state = 'done', ended_ms = :now, waits_for = '', reason = ''
WHERE id IN (:ids) AND token IN (:tokens) AND state || '' = 'running'
RETURNING id, EXISTS (SELECT 1 FROM jobs r WHERE r.lane = jobs.lane AND r.kind = jobs.kind AND r.key = jobs.key
    AND r.state = 'ready'), EXISTS (SELECT 1 FROM jobs d WHERE d.lane = jobs.lane AND d.kind = jobs.kind
    AND d.key = jobs.key AND d.state = 'dead');

-- name: reschedule_job
UPDATE jobs SET state = 'ready', token = '', owner = '', due_ms = :due_ms, is_far = :is_far, due_is_fixed = :fixed, waits_for = :waits_for,
    reason = :reason, attempts = attempts + :attempts, rescues = :rescues
WHERE id = :id AND token = :token AND state || '' = 'running' RETURNING id /* rows by id */;

-- name: supersede_job
UPDATE jobs SET state = 'done', superseded = 1, ended_ms = :now, waits_for = '', reason = :reason
WHERE id = :id AND token = :token AND state || '' = 'running' RETURNING id;

-- name: merge_into_ready_job
UPDATE jobs SET
    priority = CASE WHEN :priority < priority THEN :priority ELSE priority END,
    arrived_ms = CASE WHEN :arrived_ms < arrived_ms THEN :arrived_ms ELSE arrived_ms END,
    rescues = CASE WHEN :rescues > rescues THEN :rescues ELSE rescues END,
    due_ms = CASE WHEN :fixed = 1 AND :due_ms > due_ms THEN :due_ms ELSE due_ms END,
    is_far = CASE WHEN :fixed = 1 AND :due_ms > due_ms THEN :is_far ELSE is_far END,
    due_is_fixed = CASE WHEN :fixed = 1 THEN 1 ELSE due_is_fixed END,
    turns = CASE WHEN turns > 0 AND :turns > turns THEN :turns ELSE turns END
WHERE lane = :lane AND kind = :kind AND key = :key AND state = 'ready' RETURNING lane, kind, key /* rows by key kind lane */;

-- name: mark_job_dead
UPDATE jobs SET state = 'dead', dead_class = :dead_class, waits_for = '', reason = :reason, ended_ms = :now, attempts = attempts + 1
WHERE id = :id AND token = :token AND state || '' = 'running' RETURNING id;

-- name: mark_job_poison
UPDATE jobs SET state = 'dead', dead_class = 'poison', waits_for = '', reason = :reason, ended_ms = :now, rescues = rescues + 1
WHERE id = :id AND token = :token AND state || '' = 'running' RETURNING id;

-- name: running_of_owner
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns FROM jobs WHERE owner = :owner AND owner <> '' AND state = 'running' ORDER BY lane, kind, key /* lock */;

-- name: abandoned_jobs
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns FROM jobs WHERE state = 'running'
AND NOT EXISTS (SELECT 1 FROM processes p WHERE p.name = jobs.owner AND p.heartbeat_ms > :fresh_ms AND p.heartbeat_ms <= :ahead_ms)
ORDER BY lane, kind, key /* skip locked */;

-- name: pending_keys
SELECT key FROM jobs WHERE lane = :lane AND kind = :kind AND key IN (:keys) AND state = 'ready'
UNION SELECT key FROM jobs WHERE lane = :lane AND kind = :kind AND key IN (:keys) AND state = 'running';

-- name: keys_due_later
SELECT key FROM jobs WHERE lane = :lane AND kind = :kind AND key IN (:keys) AND state = 'ready' AND due_ms > :now AND waits_for = ''
AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.lane = jobs.lane AND r.kind = jobs.kind AND r.key = jobs.key AND r.state = 'running');

-- The oldest arrival is of jobs that are due or run; without one, of those that wait.
-- name: job_depth
SELECT lane, kind, priority, SUM(CASE WHEN state = 'ready' THEN 1 ELSE 0 END),
    SUM(CASE WHEN state = 'running' THEN 1 ELSE 0 END),
    COALESCE(MIN(CASE WHEN state = 'running' OR due_ms <= :now THEN arrived_ms END), MIN(arrived_ms)),
    SUM(CASE WHEN state = 'ready' AND due_ms <= :now THEN 1 ELSE 0 END), SUM(CASE WHEN attempts > 0 THEN 1 ELSE 0 END)
FROM (
    SELECT lane, kind, priority, state, arrived_ms, due_ms, attempts FROM jobs WHERE state = 'ready'
    UNION ALL SELECT lane, kind, priority, state, arrived_ms, due_ms, attempts FROM jobs WHERE state = 'running'
) AS open_jobs
GROUP BY lane, kind, priority ORDER BY lane, priority, kind;

-- lane || and kind || keep the filters off other indexes: the newest dead letters are found by jobs_dead_when.
-- name: dead_jobs
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, ended_ms FROM jobs
WHERE state = 'dead' AND ended_ms >= :since_ms AND lane || '' IN (:lanes) AND kind || '' IN (:kinds)
AND (:dead_class = '' OR dead_class || '' = :dead_class) ORDER BY ended_ms DESC, id DESC LIMIT :limit;

-- name: count_dead
SELECT lane, kind, dead_class, COUNT(*), SUM(CASE WHEN ended_ms >= :since_ms THEN 1 ELSE 0 END)
FROM jobs WHERE state = 'dead' GROUP BY lane, kind, dead_class ORDER BY lane, kind, dead_class;

-- name: any_dead
SELECT 1 FROM jobs WHERE state = 'dead' AND ended_ms > 0 ORDER BY ended_ms DESC LIMIT 1;

-- name: dead_of_keys
SELECT lane, kind, key, MIN(priority) FROM jobs
WHERE state = 'dead' AND lane IN (:lanes) AND kind IN (:kinds) AND key IN (:keys)
GROUP BY lane, kind, key ORDER BY lane, kind, key;

-- name: dead_by_ids
SELECT id FROM jobs WHERE id IN (:ids) AND state || '' = 'dead' ORDER BY lane, kind, key, id /* lock */;

-- A count, as in next_claimable_job. Of two dead jobs of one key the newer one is revived.
-- name: revive_jobs
UPDATE jobs SET state = 'ready', dead_class = '', waits_for = '', reason = '', attempts = 0, rescues = 0, turns = 0,
    arrived_ms = :now, due_ms = :now, is_far = 0, due_is_fixed = 0, token = '', owner = '', ended_ms = 0
WHERE id IN (:ids) AND state || '' = 'dead' AND (
        SELECT COUNT(*) FROM jobs x
        WHERE x.key = jobs.key AND x.kind = jobs.kind AND x.lane = jobs.lane AND x.state = 'ready') < 1
    AND (SELECT COUNT(*) FROM jobs y WHERE y.lane = jobs.lane AND y.kind = jobs.kind AND y.key = jobs.key
        AND y.state = 'dead' AND y.id > jobs.id) < 1
RETURNING id;

-- name: supersede_revived
UPDATE jobs SET state = 'done', superseded = 1, ended_ms = :now WHERE id IN (:ids) AND state || '' = 'dead' AND (
        SELECT COUNT(*) FROM jobs x
        WHERE x.key = jobs.key AND x.kind = jobs.kind AND x.lane = jobs.lane AND x.state = 'ready') > 0
RETURNING id;

-- name: get_job
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns FROM jobs WHERE id = :id;

-- name: open_jobs_of_keys
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns FROM jobs WHERE state = 'running' AND key IN (:keys)
UNION ALL
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns FROM jobs WHERE state = 'ready' AND key IN (:keys)
UNION ALL
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns FROM jobs WHERE state = 'dead' AND lane IN (:lanes) AND kind IN (:kinds) AND key IN (:keys);

-- name: run_pending
SELECT COUNT(*) FROM jobs WHERE run_id = :run_id AND run_id <> '' AND state IN ('ready', 'running');

-- name: count_done
SELECT COUNT(*), SUM(attempts) FROM jobs
WHERE lane = :lane AND kind = :kind AND state = 'done' AND superseded = 0 AND ended_ms >= :since_ms;

-- processes and locks

-- name: put_heartbeat
INSERT INTO processes (name, lanes, started_ms, heartbeat_ms, map_generation, key_ids)
VALUES (:name, :lanes, :started_ms, :now, :map_generation, :key_ids)
ON CONFLICT (name) DO UPDATE SET lanes = excluded.lanes, heartbeat_ms = excluded.heartbeat_ms,
    map_generation = excluded.map_generation, key_ids = excluded.key_ids;

-- name: heartbeat_of
SELECT heartbeat_ms FROM processes WHERE name = :name;

-- name: alive_processes
SELECT name, lanes, started_ms, heartbeat_ms FROM processes
WHERE heartbeat_ms > :fresh_ms AND heartbeat_ms <= :ahead_ms ORDER BY started_ms, name;

-- name: key_reports
SELECT key_ids FROM processes WHERE heartbeat_ms > :fresh_ms AND heartbeat_ms <= :ahead_ms ORDER BY name;

-- name: silent_processes
SELECT name, heartbeat_ms, key_ids FROM processes
WHERE (heartbeat_ms <= :fresh_ms OR heartbeat_ms > :ahead_ms) AND key_ids <> '' ORDER BY name;

-- name: count_on_map
SELECT COUNT(*) FROM processes
WHERE heartbeat_ms > :fresh_ms AND heartbeat_ms <= :ahead_ms AND map_generation = :map_generation;

-- name: remove_on_other_maps
DELETE FROM processes WHERE map_generation <> :map_generation;

-- name: remove_process
DELETE FROM processes WHERE name = :name;

-- name: drop_old_processes
DELETE FROM processes WHERE heartbeat_ms < :before_ms;

-- A lock is tried, never waited for: a wait while rows are locked can deadlock, which costs both sides a second. Whether
-- another holds it is a count, as in next_claimable_job.
-- name: take_lock
INSERT INTO locks (key, token, owner, until_ms) SELECT :key, :token, :owner, :until_ms
WHERE (
    SELECT COUNT(*) FROM locks h WHERE h.key = :key AND h.token <> :token AND h.until_ms > :now AND h.until_ms <= :latest_ms AND EXISTS (
        SELECT 1 FROM processes q WHERE q.name = h.owner AND q.heartbeat_ms > :fresh_ms AND q.heartbeat_ms <= :ahead_ms)) < 1 /* try advisory lock :key */
ON CONFLICT (key) DO UPDATE SET token = excluded.token, owner = excluded.owner, until_ms = excluded.until_ms
WHERE locks.until_ms <= :now OR locks.until_ms > :latest_ms OR locks.token = excluded.token OR NOT EXISTS (
    SELECT 1 FROM processes p WHERE p.name = locks.owner AND p.heartbeat_ms > :fresh_ms AND p.heartbeat_ms <= :ahead_ms)
RETURNING key, token /* rows by key */;

-- Locks of killed processes: no other process uses their token.
-- name: drop_old_locks
DELETE FROM locks WHERE until_ms < :before_ms;

-- name: drop_locks
DELETE FROM locks WHERE token IN (:tokens);

-- pending writes

-- name: put_pending_write
INSERT INTO pending_writes (id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, generation,
    created_ms, sent_ms, result, result_ms)
VALUES (:id, :side, :kind, :link_key, :source_id, :target_id, :idempotency_key, :data, :link_id, :generation, :now,
    :sent_ms, :result, 0)
ON CONFLICT (id) DO UPDATE SET link_key = excluded.link_key, source_id = excluded.source_id,
    target_id = excluded.target_id, idempotency_key = excluded.idempotency_key, data = excluded.data,
    link_id = excluded.link_id, generation = excluded.generation, sent_ms = excluded.sent_ms, result = excluded.result
WHERE pending_writes.result = '' OR excluded.result <> '' /* rows by id */;

-- name: open_create
INSERT INTO open_creates (hmac, write_id) VALUES (:hmac, :write_id)
ON CONFLICT (hmac) DO UPDATE SET write_id = excluded.write_id WHERE open_creates.write_id = excluded.write_id
RETURNING hmac, write_id /* rows by hmac */;

-- name: close_create
DELETE FROM open_creates WHERE write_id = :id /* rows by id */;

-- name: close_creates
DELETE FROM open_creates WHERE write_id IN (:ids);

-- name: open_creates
SELECT hmac, write_id FROM open_creates WHERE hmac IN (:hmacs);

-- name: create_holders
SELECT c.hmac, w.link_key FROM open_creates c JOIN pending_writes w ON w.id = c.write_id WHERE c.hmac IN (:hmacs);

-- name: creates_of
SELECT id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, sent_ms, result, generation,
    landed_ms
FROM pending_writes WHERE kind = 'create' AND side = :side AND source_id IN (:ids) AND result IN ('', 'lost') ORDER BY id;

-- name: creations_from
SELECT id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, sent_ms, result, generation,
    landed_ms
FROM pending_writes WHERE kind = 'create' AND side = :side AND source_id IN (:ids) ORDER BY id;

-- name: open_write_ids
SELECT id FROM pending_writes WHERE id IN (:ids) AND result = '';

-- name: refresh_write
UPDATE pending_writes SET data = :data WHERE id = :id AND result = '' /* rows by id */;

-- name: record_authorship
UPDATE pending_writes SET data = :data WHERE id = :id /* rows by id */;

-- name: open_writes_of_keys
SELECT id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, sent_ms, result, generation,
    landed_ms
FROM pending_writes WHERE result = '' AND link_key IN (:keys) AND side IN (:sides) ORDER BY id;

-- name: record_result
UPDATE pending_writes SET result = :result, result_ms = :now, landed_ms = :landed_ms,
    target_id = CASE WHEN :target_id <> '' THEN :target_id ELSE target_id END
WHERE id = :id AND (result = '' OR :result <> 'lost') /* rows by id */;

-- name: mark_other_updates_lost
UPDATE pending_writes SET result = 'lost', result_ms = :now
WHERE result = '' AND kind = 'update' AND side = :side AND link_key = :link_key AND id <> :id /* rows by link_key side id */;

-- name: mark_write_sent
UPDATE pending_writes SET sent_ms = :now WHERE id = :id /* rows by id */;

-- name: forgotten_writes
SELECT DISTINCT side, link_key FROM pending_writes w
WHERE result = '' AND created_ms < :before_ms
AND NOT EXISTS (
    SELECT 1 FROM jobs j WHERE j.key = w.link_key AND j.kind = 'write' AND j.lane = w.side AND j.state = 'ready')
AND NOT EXISTS (
    SELECT 1 FROM jobs j WHERE j.key = w.link_key AND j.kind = 'write' AND j.lane = w.side AND j.state = 'running')
AND NOT EXISTS (
    SELECT 1 FROM jobs j WHERE j.key = w.link_key AND j.kind = 'write' AND j.lane = w.side AND j.state = 'dead')
ORDER BY side, link_key LIMIT :limit;

-- name: unmark_write_sent
UPDATE pending_writes SET sent_ms = 0 WHERE id = :id AND result = '' /* rows by id */;

-- name: move_writes
UPDATE pending_writes SET target_id = :survivor_id
WHERE side = 'hubspot' AND kind = 'update' AND target_id = :contact_id AND sent_ms > 0 AND result IN ('', 'lost');

-- name: writes_by_keys
SELECT id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, sent_ms, result, generation,
    landed_ms
FROM pending_writes WHERE side = :side AND idempotency_key IN (:keys) ORDER BY created_ms, id;

-- name: known_keys
SELECT DISTINCT idempotency_key FROM pending_writes WHERE side = :side AND idempotency_key IN (:keys);

-- name: recent_writes
SELECT id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, sent_ms, result, generation,
    landed_ms
FROM pending_writes WHERE side = :side AND target_id IN (:ids) AND sent_ms >= :since_ms ORDER BY sent_ms, id;

-- name: unanswered_writes
SELECT id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, sent_ms, result, generation,
    landed_ms
FROM pending_writes WHERE side = :side AND target_id = :target_id AND sent_ms > 0 AND result IN ('', 'lost')
ORDER BY sent_ms, id;

-- name: records_with_unanswered
SELECT DISTINCT target_id FROM pending_writes
WHERE side = :side AND target_id IN (:ids) AND sent_ms > 0 AND result IN ('', 'lost');

-- name: lock_unanswered_writes
SELECT id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, sent_ms, result, generation,
    landed_ms
FROM pending_writes WHERE side = :side AND target_id = :target_id AND sent_ms > 0 AND result IN ('', 'lost')
ORDER BY id /* lock */;

-- name: open_targets
SELECT DISTINCT target_id FROM pending_writes WHERE side = :side AND target_id IN (:ids) AND result = '';

-- name: count_open_writes
SELECT COUNT(*) FROM pending_writes WHERE result = '';

-- name: spent_generations
SELECT source_id, COUNT(*) FROM pending_writes
WHERE side = :side AND kind = 'create' AND source_id IN (:ids)
AND result IN ('lost', 'refused', 'not_found', 'ok') GROUP BY source_id;

-- purchases

-- name: add_purchase
INSERT INTO purchases (payment_id, charge_id, customer_id, hmac, occurred_ms, data, sink, state, contact_id, waits_for,
    reason, created_ms)
VALUES (:payment_id, :charge_id, :customer_id, :hmac, :occurred_ms, :data, :sink, :state, :contact_id, :waits_for,
    :reason, :created_ms)
ON CONFLICT (payment_id) DO NOTHING RETURNING payment_id /* rows by payment_id */;

-- name: get_purchases
SELECT payment_id, charge_id, customer_id, hmac, occurred_ms, data, sink, state, contact_id, waits_for, reason,
    created_ms FROM purchases WHERE payment_id IN (:ids);

-- name: purchases_of_payment
SELECT payment_id, charge_id, customer_id, hmac, occurred_ms, data, sink, state, contact_id, waits_for, reason,
    created_ms FROM purchases WHERE payment_id = :id OR charge_id = :id ORDER BY occurred_ms, payment_id;

-- name: purchases_of_people
SELECT payment_id, charge_id, customer_id, hmac, occurred_ms, data, sink, state, contact_id, waits_for, reason,
    created_ms FROM purchases WHERE (contact_id <> '' AND contact_id IN (:contacts))
OR (state IN ('waiting', 'unmatched') AND customer_id IN (:customers)) ORDER BY occurred_ms DESC, payment_id LIMIT :limit;

-- name: lock_purchases
SELECT payment_id, charge_id, customer_id, hmac, occurred_ms, data, sink, state, contact_id, waits_for, reason,
    created_ms FROM purchases WHERE payment_id IN (:ids) ORDER BY payment_id /* lock */;

-- name: purchases_waiting_for
SELECT payment_id, created_ms FROM purchases WHERE state IN ('waiting', 'unmatched') AND customer_id IN (:ids)
UNION ALL SELECT payment_id, created_ms FROM purchases WHERE state = 'todo' AND customer_id IN (:ids) AND contact_id || '' = ''
ORDER BY created_ms, payment_id;

-- name: purchases_waiting_for_hmacs
SELECT payment_id FROM purchases WHERE state IN ('waiting', 'unmatched') AND hmac <> '' AND hmac IN (:hmacs)
ORDER BY created_ms, payment_id;

-- name: purchases_waiting_near
SELECT payment_id, created_ms FROM purchases
WHERE state IN ('waiting', 'unmatched') AND hmac <> '' AND hmac IN (:hmacs)
UNION SELECT payment_id, created_ms FROM purchases WHERE state IN ('waiting', 'unmatched') AND customer_id <> ''
AND customer_id IN (SELECT id FROM emails WHERE side = 'stripe' AND hmac IN (:hmacs))
UNION SELECT payment_id, created_ms FROM purchases
WHERE state = 'todo' AND hmac <> '' AND hmac IN (:hmacs) AND contact_id || '' = ''
UNION SELECT payment_id, created_ms FROM purchases WHERE state = 'todo' AND customer_id <> ''
AND customer_id IN (SELECT id FROM emails WHERE side = 'stripe' AND hmac IN (:hmacs)) AND contact_id || '' = ''
ORDER BY created_ms, payment_id;

-- name: purchases_waiting_for_code
SELECT payment_id FROM purchases WHERE state IN ('waiting', 'unmatched') AND waits_for <> '' AND waits_for = :waits_for
AND created_ms < :before_ms ORDER BY created_ms, payment_id LIMIT :limit;

-- name: purchases_todo_of
SELECT payment_id FROM purchases WHERE contact_id <> '' AND contact_id IN (:ids) AND state || '' <> 'sent'
ORDER BY created_ms, payment_id;

-- name: set_purchase_state
UPDATE purchases SET state = :state, waits_for = :waits_for, reason = :reason,
    contact_id = CASE WHEN :keep = 0 THEN :contact_id ELSE contact_id END,
    sink = CASE WHEN :sink <> '' THEN :sink ELSE sink END
WHERE payment_id = :id AND (state <> 'sent' OR :reopens = 1);

-- name: move_purchases
UPDATE purchases SET contact_id = :into WHERE contact_id <> '' AND contact_id = :contact_id
RETURNING payment_id, occurred_ms, sink, state;

-- name: count_purchases
SELECT state, COUNT(*) FROM purchases GROUP BY state;

-- name: count_account_purchases
SELECT COUNT(*) FROM purchases WHERE state = 'unmatched' AND created_ms >= :since_ms AND substr(customer_id, 1, 5) = 'acct_';

-- name: purchases_of_contact
SELECT payment_id, charge_id, customer_id, hmac, occurred_ms, data, sink, state, contact_id, waits_for, reason,
    created_ms FROM purchases WHERE contact_id <> '' AND contact_id = :contact_id ORDER BY occurred_ms, payment_id;

-- conflicts and tombstones

-- name: add_conflict
INSERT INTO conflicts (id, link_id, side, record_id, field, kind, value, value_hash, at_ms, closed_ms)
VALUES (:id, :link_id, :side, :record_id, :field, :kind, :value, :value_hash, :now, 0)
ON CONFLICT (side, record_id, field, value_hash) WHERE closed_ms = 0 DO NOTHING RETURNING id;

-- name: keep_conflict
UPDATE conflicts SET kind = :kind, at_ms = :now WHERE closed_ms = 0 AND side = :side AND record_id = :record_id
    AND field = :field AND value_hash = :value_hash AND kind NOT IN (:kept) RETURNING id;

-- name: find_conflicts
SELECT id, link_id, side, record_id, field, kind, value, at_ms FROM conflicts
WHERE closed_ms = 0 AND side IN (:sides) AND (:kind = '' OR kind = :kind)
    AND (:field = '' OR field = :field OR (field > :first_part AND field < :past_parts))
    AND (:kept_only = 0 OR kind IN (:kept)) AND (:standing_only = 0 OR kind NOT IN (:kept))
    AND (:everyone = 1 OR record_id IN (:people) OR link_id IN (:people) OR id IN (:people))
    AND (at_ms < :before_ms OR (at_ms = :before_ms AND id < :before_id))
ORDER BY at_ms DESC, id DESC LIMIT :limit;

-- name: count_matching_conflicts
SELECT COUNT(*), COUNT(DISTINCT link_id || ' ' || CASE link_id WHEN '' THEN record_id ELSE '' END) FROM conflicts
WHERE closed_ms = 0 AND side IN (:sides) AND (:kind = '' OR kind = :kind)
    AND (:field = '' OR field = :field OR (field > :first_part AND field < :past_parts))
    AND (:kept_only = 0 OR kind IN (:kept)) AND (:standing_only = 0 OR kind NOT IN (:kept))
    AND (:everyone = 1 OR record_id IN (:people) OR link_id IN (:people) OR id IN (:people));

-- name: conflict_facets
SELECT side, field, kind, COUNT(*) FROM conflicts WHERE closed_ms = 0 GROUP BY side, field, kind ORDER BY side, field, kind;

-- name: count_conflicts
SELECT COUNT(*) FROM conflicts WHERE closed_ms = 0;

-- A contact and its primary customer count once, as in a comparison of the two sides.
-- name: count_conflict_pairs
SELECT COUNT(DISTINCT COALESCE(CASE c.side
    WHEN 'hubspot' THEN (SELECT k.id FROM links k WHERE k.hubspot_id = c.record_id AND k.state = 'active' AND k.is_primary = 1)
    ELSE (SELECT k.id FROM links k WHERE k.stripe_id = c.record_id AND k.state = 'active') END, c.record_id))
FROM conflicts c WHERE c.closed_ms = 0 AND NOT (c.kind IN (:kept));

-- name: count_kept_values
SELECT COUNT(*) FROM conflicts WHERE closed_ms = 0 AND kind IN (:kept);

-- name: conflicts_of_record
SELECT id, link_id, side, record_id, field, kind, value, at_ms FROM conflicts
WHERE closed_ms = 0 AND side = :side AND record_id = :id ORDER BY at_ms, id;

-- name: close_conflicts_of_fields
UPDATE conflicts SET closed_ms = :now WHERE closed_ms = 0 AND field IN (:fields) AND kind NOT IN (:but) RETURNING id;

-- name: conflicts_of_records
SELECT id, link_id, side, record_id, field, kind, value, at_ms FROM conflicts
WHERE closed_ms = 0 AND side = :side AND record_id IN (:ids) ORDER BY at_ms, id;

-- name: conflicts_page
SELECT id, link_id, side, record_id, field, kind, value, at_ms FROM conflicts
WHERE closed_ms = 0 AND id > :after ORDER BY id LIMIT :limit;

-- name: close_conflicts
UPDATE conflicts SET closed_ms = :now WHERE closed_ms + 0 = 0 AND id IN (:ids) RETURNING id;

-- name: add_tombstone
INSERT INTO tombstones (side, id, hmac, at_ms, erased) VALUES (:side, :id, :hmac, :at_ms, :erased)
ON CONFLICT (side, id, hmac) DO UPDATE SET at_ms = excluded.at_ms,
    erased = CASE WHEN tombstones.erased = 1 THEN 1 ELSE excluded.erased END /* rows by side id hmac */;

-- name: drop_tombstones
DELETE FROM tombstones WHERE side = :side AND id = :id AND erased = 0;

-- erasure

-- name: erase_events
UPDATE events SET data = :nothing, emptied = 1, is_judged = 1, is_read = CASE WHEN :settle = 1 THEN 1 ELSE is_read END
WHERE side = :side AND record_id IN (:ids) AND emptied = 0;

-- name: journal_ids_of
SELECT id FROM journal WHERE record_id <> '' AND record_id IN (:refs)
UNION SELECT id FROM journal WHERE link_id <> '' AND link_id IN (:refs);

-- name: set_journal_data
UPDATE journal SET data = :data WHERE id = :id;

-- name: erase_conflicts
DELETE FROM conflicts WHERE side = :side AND record_id IN (:ids);

-- name: settled_writes_of
SELECT id FROM pending_writes WHERE side = :side AND target_id IN (:ids) AND result <> ''
UNION SELECT id FROM pending_writes WHERE kind = 'create' AND side = :other AND source_id IN (:ids) AND result <> '';

-- name: settled_writes_over
SELECT id FROM pending_writes
WHERE side = 'stripe' AND target_id IN (:customers) AND link_id IN (:links) AND result <> '';

-- name: set_write_data
UPDATE pending_writes SET data = :data WHERE id = :id;

-- name: erase_held_fields
DELETE FROM held_fields WHERE link_id IN (:links);

-- name: settled_purchases_of
SELECT payment_id, data FROM purchases WHERE contact_id <> '' AND contact_id IN (:contacts) AND state IN ('sent', 'unmatched')
UNION SELECT payment_id, data FROM purchases WHERE state = 'unmatched' AND customer_id IN (:customers)
UNION SELECT payment_id, data FROM purchases WHERE state = 'unmatched' AND hmac IN (:hmacs);

-- name: set_purchase_data
UPDATE purchases SET data = :data WHERE payment_id = :id;

-- name: drop_rejected_ids
DELETE FROM rejected WHERE id IN (:ids);

-- name: erased_since
SELECT id FROM records WHERE side = 'hubspot' AND deleted = 1 AND erased = 1 AND stored_ms >= :since_ms ORDER BY id;

-- name: lift_tombstones
DELETE FROM tombstones WHERE hmac IN (:hmacs) RETURNING hmac;

-- name: tombstone_hmacs
SELECT DISTINCT hmac FROM tombstones WHERE hmac > :after ORDER BY hmac LIMIT :limit;

-- name: match_tombstones
SELECT hmac, MAX(at_ms), MAX(erased) FROM tombstones WHERE hmac IN (:hmacs) GROUP BY hmac;

-- journal

-- name: add_journal
INSERT INTO journal (id, at_ms, seq, kind, side, record_id, link_id, operator, via, data)
VALUES (:id, :now, :seq, :kind, :side, :record_id, :link_id, :operator, :via, :data) /* rows by id */;

-- name: journal_of
SELECT id, at_ms, seq, kind, side, record_id, link_id, operator, via, data FROM journal
WHERE record_id <> '' AND record_id IN (:refs)
UNION SELECT id, at_ms, seq, kind, side, record_id, link_id, operator, via, data FROM journal
WHERE link_id <> '' AND link_id IN (:refs)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: latest_journal
SELECT id, at_ms, seq, kind, side, record_id, link_id, operator, via, data FROM journal
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- the change guard

-- name: open_holds
SELECT id, source, kind, since_ms FROM holds WHERE state = 'open'
UNION ALL SELECT '', '', '', 0 WHERE EXISTS (SELECT 1 FROM held_fields);

-- name: open_hold
INSERT INTO holds (id, source, kind, state, since_ms, closed_ms) VALUES (:id, :source, :kind, 'open', :now, 0)
ON CONFLICT (source) WHERE state = 'open' DO NOTHING RETURNING id;

-- name: hold_of_source
SELECT id, source, kind, state, since_ms, 0, 0 FROM holds WHERE source = :source AND state = 'open';

-- name: list_holds
SELECT o.id, o.source, o.kind, o.state, o.since_ms, COUNT(DISTINCT h.link_id), COUNT(h.field)
FROM holds o LEFT JOIN held_fields h ON h.hold_id = o.id
WHERE o.state = 'open' OR EXISTS (SELECT 1 FROM held_fields x WHERE x.hold_id = o.id)
GROUP BY o.id, o.source, o.kind, o.state, o.since_ms ORDER BY o.since_ms, o.id;

-- name: close_hold
UPDATE holds SET state = :state, closed_ms = :now WHERE id = :id AND state = 'open' RETURNING source;

-- name: lock_open_holds
SELECT id FROM holds WHERE id IN (:ids) AND state = 'open' ORDER BY id /* share */;

-- name: held_of_links
SELECT h.link_id, h.field, h.side, h.data, h.hold_id, o.state FROM held_fields h JOIN holds o ON o.id = h.hold_id
WHERE h.link_id IN (:ids);

-- name: held_page
SELECT h.link_id, h.field, h.side, h.data, h.at_ms, k.hubspot_id, k.stripe_id FROM held_fields h JOIN links k ON k.id = h.link_id
WHERE h.hold_id = :id AND (h.link_id > :link_id OR (h.link_id = :link_id AND h.field > :field))
ORDER BY h.link_id, h.field LIMIT :limit;

-- name: put_held
INSERT INTO held_fields (link_id, field, hold_id, side, data, at_ms) VALUES (:link_id, :field, :hold_id, :side, :data, :now)
ON CONFLICT (link_id, field) DO UPDATE SET hold_id = excluded.hold_id, side = excluded.side, data = excluded.data,
    at_ms = excluded.at_ms;

-- name: drop_held
DELETE FROM held_fields WHERE link_id = :link_id AND field = :field;

-- name: drop_held_fields
DELETE FROM held_fields WHERE field IN (:fields);

-- name: lock_source
INSERT INTO overwrite_sources (source, counted_ms) VALUES (:source, :now)
ON CONFLICT (source) DO UPDATE SET counted_ms = excluded.counted_ms;

-- name: drop_overwrites_until
DELETE FROM overwrites WHERE source = :source AND at_ms <= :until_ms;

-- name: count_overwritten
SELECT COUNT(*) FROM overwrites WHERE source = :source;

-- name: overwritten_by
SELECT link_id FROM overwrites WHERE source = :source AND link_id IN (:ids);

-- name: put_overwrite
INSERT INTO overwrites (source, link_id, at_ms) VALUES (:source, :link_id, :now)
ON CONFLICT (source, link_id) DO UPDATE SET at_ms = excluded.at_ms /* rows by source link_id */;

-- name: frequently_written
SELECT target_id FROM pending_writes WHERE side = :side AND target_id IN (:ids) AND sent_ms >= :since_ms
GROUP BY target_id HAVING COUNT(*) >= :min_writes;

-- pauses and rates

-- name: all_pauses
SELECT name, reason, away, since_ms, probe_ms FROM pauses ORDER BY name;

-- name: set_pause
INSERT INTO pauses (name, reason, away, since_ms, probe_ms) VALUES (:name, :reason, :away, :now, :probe_ms)
ON CONFLICT (name) DO UPDATE SET reason = excluded.reason, away = excluded.away, probe_ms = excluded.probe_ms;

-- name: move_probe
UPDATE pauses SET probe_ms = :to_ms WHERE name = :name AND probe_ms = :from_ms RETURNING name;

-- name: clear_pause
DELETE FROM pauses WHERE name = :name;

-- A row that was not renewed since :stale_ms is of an earlier trouble, and is begun anew.
-- name: note_failed_batch
INSERT INTO failed_batches (place, process, reason, times, first_ms, last_ms)
VALUES (:place, :process, :reason, 1, :now, :now)
ON CONFLICT (place, process) DO UPDATE SET reason = excluded.reason, last_ms = excluded.last_ms,
    times = CASE WHEN failed_batches.last_ms < :stale_ms OR failed_batches.last_ms > :now THEN 1
        ELSE failed_batches.times + 1 END,
    first_ms = CASE WHEN failed_batches.last_ms < :stale_ms OR failed_batches.last_ms > :now THEN excluded.first_ms
        ELSE failed_batches.first_ms END;

-- name: drop_failed_batch
DELETE FROM failed_batches WHERE place = :place AND process = :process;

-- name: failed_batches
SELECT place, reason, times, first_ms, last_ms FROM failed_batches
WHERE last_ms >= :stale_ms AND last_ms <= :now ORDER BY place, first_ms;

-- name: drop_old_failed_batches
DELETE FROM failed_batches WHERE last_ms < :before_ms;

-- name: set_limit
INSERT INTO rates (scope, configured, effective, filed, ceiling, reason, lowered_ms, raised_ms, tat_us, updated_ms)
VALUES (:scope, :configured, :effective, :filed, :ceiling, :reason, :lowered_ms, :raised_ms, 0, :now)
ON CONFLICT (scope) DO UPDATE SET configured = excluded.configured, effective = excluded.effective,
    filed = excluded.filed, ceiling = excluded.ceiling, reason = excluded.reason, lowered_ms = excluded.lowered_ms,
    raised_ms = excluded.raised_ms, updated_ms = excluded.updated_ms;

-- name: add_limit
INSERT INTO rates (scope, configured, effective, filed, ceiling, reason, lowered_ms, raised_ms, tat_us, updated_ms)
VALUES (:scope, :configured, :effective, :filed, :ceiling, :reason, :lowered_ms, :raised_ms, 0, :now)
ON CONFLICT (scope) DO NOTHING RETURNING scope;

-- name: drop_limit
DELETE FROM rates WHERE scope = :scope;

-- name: get_limit
SELECT scope, configured, effective, filed, ceiling, reason, lowered_ms, raised_ms FROM rates
WHERE scope = :scope /* lock */;

-- name: all_limits
SELECT scope, configured, effective, filed, ceiling, reason, lowered_ms, raised_ms FROM rates ORDER BY scope;

-- name: add_quota_use
INSERT INTO quota_uses (scope, span, began_ms, used, bulk) VALUES (:scope, :span, :began_ms, :used, :bulk)
ON CONFLICT (scope, span, began_ms) DO UPDATE SET used = quota_uses.used + excluded.used,
    bulk = quota_uses.bulk + excluded.bulk /* rows by scope span began_ms */;

-- name: drop_quota_uses
DELETE FROM quota_uses WHERE span = :span AND began_ms < :before_ms;

-- name: quota_used_since
SELECT scope, SUM(used), SUM(bulk) FROM quota_uses WHERE span = :span AND began_ms >= :since_ms GROUP BY scope;

-- name: get_arrival_time
SELECT effective, tat_us, held_ms FROM rates WHERE scope = :scope;

-- name: get_arrival_times
SELECT scope, effective, tat_us, held_ms FROM rates WHERE scope IN (:scopes);

-- name: take_slots
UPDATE rates SET tat_us = :new_tat_us WHERE scope = :scope AND tat_us = :tat_us RETURNING scope;

-- name: delay_slots
UPDATE rates SET tat_us = CASE WHEN tat_us + :delay_us > :latest_us THEN :latest_us ELSE tat_us + :delay_us END
WHERE scope = :scope AND tat_us < :latest_us;

-- name: hold_limit
UPDATE rates SET held_ms = :until_ms WHERE scope = :scope AND (held_ms < :until_ms OR held_ms > :latest_ms) RETURNING scope;

-- name: ready_job
SELECT id FROM jobs WHERE lane = :lane AND kind = :kind AND key = :key AND state = 'ready';

-- times in the future, which a wrong clock stored

-- name: repair_job_times
UPDATE jobs SET due_ms = :now, is_far = 0, due_is_fixed = 0 WHERE state = 'ready' AND due_ms > -1 AND due_ms > :wait_ms
AND (waits_for NOT IN ('writes_off', 'setup') OR due_ms > :long_ms) RETURNING id;

-- name: repair_arrival_times
UPDATE jobs SET arrived_ms = :now WHERE state IN ('ready', 'running') AND arrived_ms > :ahead_ms;

-- Names of an operator's pauses begin with "operator:": their probe is never due.
-- name: repair_probe_times
UPDATE pauses SET probe_ms = CASE WHEN probe_ms > :probe_ms THEN :probe_ms ELSE probe_ms END,
    since_ms = CASE WHEN since_ms > :ahead_ms THEN :now ELSE since_ms END WHERE name NOT LIKE 'operator:%';

-- name: repair_limit_times
UPDATE rates SET lowered_ms = CASE WHEN lowered_ms > :ahead_ms THEN :now ELSE lowered_ms END,
    raised_ms = CASE WHEN raised_ms > :ahead_ms THEN :now ELSE raised_ms END
WHERE lowered_ms > :ahead_ms OR raised_ms > :ahead_ms;

-- name: repair_deletion_times
UPDATE records SET valid_to_ms = :now, revision = revision + 1
WHERE (deleted = 1 OR survivor <> '') AND deleted = 1 AND valid_to_ms > :ahead_ms;

-- name: repair_tombstone_times
UPDATE tombstones SET at_ms = :now WHERE at_ms > :ahead_ms;

-- name: repair_overwrite_times
UPDATE overwrites SET at_ms = :now WHERE at_ms > :ahead_ms;

-- name: drop_future_uses
DELETE FROM quota_uses WHERE began_ms > :ahead_ms;

-- name: drop_future_processes
DELETE FROM processes WHERE heartbeat_ms > :ahead_ms;

-- retention: one step is a range of times or ids, (after, upto]; open rows in it stay

-- name: settled_events_bound
SELECT received_ms FROM events WHERE is_read = 1 AND is_judged = 1 AND emptied = :emptied
AND received_ms > :after AND received_ms < :before_ms ORDER BY received_ms LIMIT 1 OFFSET :skip;

-- While an event of a record is unjudged, its other events are needed to judge it.
-- name: empty_events
UPDATE events SET data = :nothing, emptied = 1
WHERE is_read = 1 AND is_judged = 1 AND emptied = 0 AND received_ms > :after AND received_ms <= :upto AND (
    SELECT COUNT(*) FROM events x WHERE x.side = events.side AND x.record_id = events.record_id AND x.is_judged = 0) < 1
RETURNING 1;

-- name: drop_events
DELETE FROM events
WHERE is_read = 1 AND is_judged = 1 AND emptied = :emptied AND received_ms > :after AND received_ms <= :upto AND (
    SELECT COUNT(*) FROM events x WHERE x.side = events.side AND x.record_id = events.record_id AND x.is_judged = 0) < 1
RETURNING 1;

-- name: done_jobs_bound
SELECT ended_ms FROM jobs WHERE lane = :lane AND kind = :kind AND state = 'done'
AND ended_ms > :after AND ended_ms < :before_ms ORDER BY ended_ms LIMIT 1 OFFSET :skip;

-- name: drop_done_jobs
DELETE FROM jobs WHERE lane = :lane AND kind = :kind AND state = 'done' AND ended_ms > :after AND ended_ms <= :upto
RETURNING 1;

-- name: webhook_counts_bound
SELECT minute_ms FROM webhook_counts WHERE minute_ms > :after AND minute_ms < :before_ms
ORDER BY minute_ms LIMIT 1 OFFSET :skip;

-- name: drop_webhook_counts
DELETE FROM webhook_counts WHERE minute_ms > :after AND minute_ms <= :upto RETURNING 1;

-- name: rejected_bound
SELECT at_ms FROM rejected WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_rejected
DELETE FROM rejected WHERE at_ms > :after AND at_ms <= :upto RETURNING 1;

-- name: overwrites_bound
SELECT at_ms FROM overwrites WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_overwrites
DELETE FROM overwrites WHERE at_ms > :after AND at_ms <= :upto RETURNING 1;

-- name: overwrite_sources_bound
SELECT counted_ms FROM overwrite_sources WHERE counted_ms > :after AND counted_ms < :before_ms
ORDER BY counted_ms LIMIT 1 OFFSET :skip;

-- name: drop_overwrite_sources
DELETE FROM overwrite_sources WHERE counted_ms > :after AND counted_ms <= :upto RETURNING 1;

-- name: pending_writes_bound
SELECT id FROM pending_writes WHERE id > :after AND id < :before ORDER BY id LIMIT 1 OFFSET :skip;

-- Lost and refused creations stay: their record may still appear, and the generation of the next one counts them.
-- name: drop_pending_writes
DELETE FROM pending_writes WHERE id > :after AND id <= :upto AND result <> '' AND result_ms < :before_ms
AND (kind = 'update' OR result NOT IN ('lost', 'refused')) AND (
    SELECT COUNT(*) FROM events x
    WHERE x.side = pending_writes.side AND x.record_id = pending_writes.target_id AND x.is_judged = 0) < 1
RETURNING 1;

-- name: conflicts_bound
SELECT id FROM conflicts WHERE id > :after AND id < :before ORDER BY id LIMIT 1 OFFSET :skip;

-- name: drop_conflicts
DELETE FROM conflicts WHERE id > :after AND id <= :upto AND closed_ms > 0 AND closed_ms < :before_ms RETURNING 1;

-- name: journal_bound
SELECT at_ms FROM journal WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_journal
DELETE FROM journal WHERE at_ms > :after AND at_ms <= :upto RETURNING 1;

-- sealed columns: every table with ciphertexts, walked by its key (wanesync/store/tables/sealed_rows.py)

-- name: key_ids_in_records
SELECT side, id, substr(content, 2, 4) FROM records WHERE (side, id) > (:after, :after_2) ORDER BY side, id LIMIT :limit;

-- name: sealed_records
SELECT side, id, content FROM records WHERE side = :first AND id = :second;

-- name: reseal_records
UPDATE records SET content = :new_content WHERE (side, id) IN (
    SELECT side, id FROM records WHERE side = :first AND id = :second AND content = :content /* skip locked */) RETURNING side;

-- name: key_ids_in_links
SELECT id, substr(base, 2, 4), substr(parked, 2, 4), substr(put_back, 2, 4) FROM links WHERE id > :after ORDER BY id LIMIT :limit;

-- name: sealed_links
SELECT id, base, parked, put_back FROM links WHERE id = :first;

-- name: reseal_links
UPDATE links SET base = :new_base, parked = :new_parked, put_back = :new_put_back WHERE id IN (
    SELECT id FROM links WHERE id = :first AND base = :base AND parked = :parked AND put_back = :put_back /* skip locked */) RETURNING id;

-- name: key_ids_in_events
SELECT key, substr(data, 2, 4) FROM events WHERE key > :after ORDER BY key LIMIT :limit;

-- name: sealed_events
SELECT key, data FROM events WHERE key = :first;

-- name: reseal_events
UPDATE events SET data = :new_data WHERE key IN (
    SELECT key FROM events WHERE key = :first AND data = :data /* skip locked */) RETURNING key;

-- name: key_ids_in_rejected
SELECT id, substr(body, 2, 4) FROM rejected WHERE id > :after ORDER BY id LIMIT :limit;

-- name: sealed_rejected
SELECT id, body FROM rejected WHERE id = :first;

-- name: reseal_rejected
UPDATE rejected SET body = :new_body WHERE id IN (
    SELECT id FROM rejected WHERE id = :first AND body = :body /* skip locked */) RETURNING id;

-- name: key_ids_in_pending_writes
SELECT id, substr(data, 2, 4) FROM pending_writes WHERE id > :after ORDER BY id LIMIT :limit;

-- name: sealed_pending_writes
SELECT id, data FROM pending_writes WHERE id = :first;

-- name: reseal_pending_writes
UPDATE pending_writes SET data = :new_data WHERE id IN (
    SELECT id FROM pending_writes WHERE id = :first AND data = :data /* skip locked */) RETURNING id;

-- name: key_ids_in_purchases
SELECT payment_id, substr(data, 2, 4) FROM purchases WHERE payment_id > :after ORDER BY payment_id LIMIT :limit;

-- name: sealed_purchases
SELECT payment_id, data FROM purchases WHERE payment_id = :first;

-- name: reseal_purchases
UPDATE purchases SET data = :new_data WHERE payment_id IN (
    SELECT payment_id FROM purchases WHERE payment_id = :first AND data = :data /* skip locked */) RETURNING payment_id;

-- name: key_ids_in_conflicts
SELECT id, substr(value, 2, 4) FROM conflicts WHERE id > :after ORDER BY id LIMIT :limit;

-- name: sealed_conflicts
SELECT id, value FROM conflicts WHERE id = :first;

-- name: reseal_conflicts
UPDATE conflicts SET value = :new_value WHERE id IN (
    SELECT id FROM conflicts WHERE id = :first AND value = :value /* skip locked */) RETURNING id;

-- name: key_ids_in_journal
SELECT id, substr(data, 2, 4) FROM journal WHERE id > :after ORDER BY id LIMIT :limit;

-- name: sealed_journal
SELECT id, data FROM journal WHERE id = :first;

-- name: reseal_journal
UPDATE journal SET data = :new_data WHERE id IN (
    SELECT id FROM journal WHERE id = :first AND data = :data /* skip locked */) RETURNING id;

-- name: key_ids_in_held_fields
SELECT link_id, field, substr(data, 2, 4) FROM held_fields WHERE (link_id, field) > (:after, :after_2) ORDER BY link_id, field LIMIT :limit;

-- name: sealed_held_fields
SELECT link_id, field, data FROM held_fields WHERE link_id = :first AND field = :second;

-- name: reseal_held_fields
UPDATE held_fields SET data = :new_data WHERE (link_id, field) IN (
    SELECT link_id, field FROM held_fields WHERE link_id = :first AND field = :second AND data = :data /* skip locked */) RETURNING link_id;

-- audit log

-- name: lock_audit_head
SELECT seq, hash FROM audit_head WHERE id = 1 /* lock */;

-- name: audit_head
SELECT seq, hash FROM audit_head WHERE id = 1;

-- name: move_audit_head
UPDATE audit_head SET seq = :seq, hash = :hash WHERE id = 1;

-- name: add_audit
INSERT INTO audit_log (seq, at_ms, operator, via, action, subject, before_state, after_state, hash)
VALUES (:seq, :at_ms, :operator, :via, :action, :subject, :before_state, :after_state, :hash);

-- name: find_audit
SELECT seq, at_ms, operator, via, action, subject, before_state, after_state FROM audit_log
WHERE seq < :below AND at_ms >= :since_ms AND at_ms <= :until_ms AND (:operator = '' OR operator = :operator)
    AND (:action = '' OR action = :action) AND (:subject = '' OR subject = :subject)
ORDER BY seq DESC LIMIT :limit;

-- name: audit_after
SELECT seq, at_ms, operator, via, action, subject, before_state, after_state, hash FROM audit_log
WHERE seq > :after ORDER BY seq LIMIT :limit;

-- log lines

-- name: add_log_line
INSERT INTO log_lines (id, at_ms, seq, level, event, logger, process, side, record_id, correlation_id, data)
VALUES (:id, :at_ms, :seq, :level, :event, :logger, :process, :side, :record_id, :correlation_id, :data) /* rows by id */;

-- The pages of log lines: one query for each index, so that no page looks through the table for what is rare.
-- name: log_lines_page
SELECT id, at_ms, seq, level, event, logger, process, side, record_id, correlation_id, data FROM log_lines
WHERE at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id) AND level >= :least
    AND (:event = '' OR event = :event) AND (:correlation_id = '' OR correlation_id = :correlation_id)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: log_lines_of_level
SELECT id, at_ms, seq, level, event, logger, process, side, record_id, correlation_id, data FROM log_lines
WHERE level = :level AND at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id) AND level >= :least
    AND (:event = '' OR event = :event) AND (:correlation_id = '' OR correlation_id = :correlation_id)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: log_lines_of_event
SELECT id, at_ms, seq, level, event, logger, process, side, record_id, correlation_id, data FROM log_lines
WHERE event = :event AND at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id) AND level >= :least
    AND (:event = '' OR event = :event) AND (:correlation_id = '' OR correlation_id = :correlation_id)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: log_lines_of_records
SELECT id, at_ms, seq, level, event, logger, process, side, record_id, correlation_id, data FROM log_lines
WHERE record_id <> '' AND record_id IN (:refs) AND at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id) AND level >= :least
    AND (:event = '' OR event = :event) AND (:correlation_id = '' OR correlation_id = :correlation_id)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: log_lines_of_correlation
SELECT id, at_ms, seq, level, event, logger, process, side, record_id, correlation_id, data FROM log_lines
WHERE correlation_id <> '' AND correlation_id = :correlation_id AND at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id) AND level >= :least
    AND (:event = '' OR event = :event) AND (:correlation_id = '' OR correlation_id = :correlation_id)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: log_lines_excess
SELECT at_ms FROM log_lines ORDER BY at_ms DESC, seq DESC LIMIT 1 OFFSET :kept;

-- name: log_lines_bound
SELECT at_ms FROM log_lines WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_log_lines
DELETE FROM log_lines WHERE at_ms > :after AND at_ms <= :upto RETURNING 1;

-- name: key_ids_in_log_lines
SELECT id, substr(data, 2, 4) FROM log_lines WHERE id > :after ORDER BY id LIMIT :limit;

-- name: sealed_log_lines
SELECT id, data FROM log_lines WHERE id = :first;

-- name: reseal_log_lines
UPDATE log_lines SET data = :new_data WHERE id IN (
    SELECT id FROM log_lines WHERE id = :first AND data = :data /* skip locked */) RETURNING id;

-- the journal, by page

-- name: journal_page
SELECT id, at_ms, seq, kind, side, record_id, link_id, operator, via, data FROM journal
WHERE at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id)
    AND (:kind = '' OR kind = :kind) AND (:operator = '' OR operator = :operator)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: journal_of_kind
SELECT id, at_ms, seq, kind, side, record_id, link_id, operator, via, data FROM journal
WHERE kind = :kind AND at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id)
    AND (:kind = '' OR kind = :kind) AND (:operator = '' OR operator = :operator)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: journal_of_operator
SELECT id, at_ms, seq, kind, side, record_id, link_id, operator, via, data FROM journal
WHERE operator <> '' AND operator = :operator AND at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id)
    AND (:kind = '' OR kind = :kind) AND (:operator = '' OR operator = :operator)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: journal_of_records
SELECT id, at_ms, seq, kind, side, record_id, link_id, operator, via, data FROM journal
WHERE record_id <> '' AND record_id IN (:refs) AND at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id)
    AND (:kind = '' OR kind = :kind) AND (:operator = '' OR operator = :operator)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- name: journal_of_links
SELECT id, at_ms, seq, kind, side, record_id, link_id, operator, via, data FROM journal
WHERE link_id <> '' AND link_id IN (:refs) AND at_ms >= :since_ms AND (at_ms, seq, id) < (:at_ms, :seq, :id)
    AND (:kind = '' OR kind = :kind) AND (:operator = '' OR operator = :operator)
ORDER BY at_ms DESC, seq DESC, id DESC LIMIT :limit;

-- access to the admin service

-- name: admin_user
SELECT name, role, can_sign_in, has_totp, created_ms, seen_ms FROM admin_users WHERE name = :name;

-- name: admin_users
SELECT name, role, can_sign_in, has_totp, created_ms, seen_ms FROM admin_users ORDER BY name;

-- name: lock_admin_users
SELECT name, role, can_sign_in, has_totp, created_ms, seen_ms FROM admin_users ORDER BY name /* lock */;

-- name: count_admin_users
SELECT COUNT(*) FROM admin_users;

-- name: admin_user_secrets
SELECT secrets FROM admin_users WHERE name = :name;

-- name: lock_admin_user_secrets
SELECT secrets FROM admin_users WHERE name = :name /* lock */;

-- name: add_admin_user
INSERT INTO admin_users (name, role, secrets, can_sign_in, has_totp, created_ms, seen_ms)
VALUES (:name, :role, :secrets, :can_sign_in, :has_totp, :now, 0) ON CONFLICT (name) DO NOTHING RETURNING name;

-- name: set_admin_user_secrets
UPDATE admin_users SET secrets = :secrets, can_sign_in = :can_sign_in, has_totp = :has_totp WHERE name = :name;

-- name: set_admin_user_role
UPDATE admin_users SET role = :role WHERE name = :name;

-- name: set_admin_user_seen
UPDATE admin_users SET seen_ms = :now WHERE name = :name;

-- name: drop_admin_user
DELETE FROM admin_users WHERE name = :name RETURNING name;

-- name: key_ids_in_admin_users
SELECT name, substr(secrets, 2, 4) FROM admin_users WHERE name > :after ORDER BY name LIMIT :limit;

-- name: sealed_admin_users
SELECT name, secrets FROM admin_users WHERE name = :first;

-- name: reseal_admin_users
UPDATE admin_users SET secrets = :new_secrets WHERE name IN (
    SELECT name FROM admin_users WHERE name = :first AND secrets = :secrets /* skip locked */) RETURNING name;

-- name: add_admin_session
INSERT INTO admin_sessions (id, user_name, created_ms, seen_ms, proved_ms) VALUES (:id, :name, :now, :now, :proved_ms);

-- name: admin_session
SELECT s.id, s.user_name, s.created_ms, s.seen_ms, u.role, s.proved_ms, u.can_sign_in FROM admin_sessions s JOIN admin_users u ON u.name = s.user_name
WHERE s.id = :id;

-- name: admin_sessions_of
SELECT id, user_name, created_ms, seen_ms, '', proved_ms, 0 FROM admin_sessions WHERE user_name = :name ORDER BY created_ms DESC, id;

-- name: touch_admin_session
UPDATE admin_sessions SET seen_ms = :now WHERE id = :id;

-- name: prove_admin_session
UPDATE admin_sessions SET proved_ms = :now WHERE id = :id;

-- name: drop_admin_session
DELETE FROM admin_sessions WHERE id = :id;

-- name: drop_admin_sessions_of
DELETE FROM admin_sessions WHERE user_name = :name AND id <> :but;

-- name: drop_ended_admin_sessions
DELETE FROM admin_sessions WHERE seen_ms < :seen_ms OR created_ms < :created_ms;

-- name: add_admin_token
INSERT INTO admin_tokens (id, name, role, hash, made_by, created_ms, expires_ms, used_ms, owner)
VALUES (:id, :name, :role, :hash, :made_by, :now, :expires_ms, 0, :owner);

-- name: admin_token
SELECT t.id, t.name, t.role, t.hash, t.made_by, t.created_ms, t.expires_ms, t.used_ms, t.owner, u.role
FROM admin_tokens t LEFT JOIN admin_users u ON u.name = t.owner WHERE t.id = :id;

-- name: admin_tokens
SELECT t.id, t.name, t.role, t.hash, t.made_by, t.created_ms, t.expires_ms, t.used_ms, t.owner, u.role
FROM admin_tokens t LEFT JOIN admin_users u ON u.name = t.owner ORDER BY t.created_ms DESC, t.id;

-- name: touch_admin_token
UPDATE admin_tokens SET used_ms = :now WHERE id = :id;

-- name: drop_admin_token
DELETE FROM admin_tokens WHERE id = :id RETURNING id;

-- name: drop_admin_tokens_of
DELETE FROM admin_tokens WHERE owner = :name RETURNING id;

-- name: drop_ended_admin_tokens
DELETE FROM admin_tokens WHERE expires_ms < :before_ms;

-- name: add_admin_link
INSERT INTO admin_links (hash, user_name, expires_ms) VALUES (:hash, :name, :expires_ms);

-- name: admin_link
SELECT user_name, expires_ms FROM admin_links WHERE hash = :hash;

-- name: take_admin_link
DELETE FROM admin_links WHERE hash = :hash RETURNING user_name, expires_ms;

-- name: drop_admin_links_of
DELETE FROM admin_links WHERE user_name = :name OR expires_ms < :now;

-- name: count_admin_guess
INSERT INTO admin_guesses (subject, minute_ms, guesses) VALUES (:subject, :minute_ms, 1)
ON CONFLICT (subject, minute_ms) DO UPDATE SET guesses = admin_guesses.guesses + 1;

-- name: give_back_admin_guess
UPDATE admin_guesses SET guesses = guesses - 1 WHERE subject = :subject AND minute_ms = :minute_ms AND guesses > 0;

-- name: admin_guesses_since
SELECT COALESCE(SUM(guesses), 0) FROM admin_guesses WHERE subject = :subject AND minute_ms >= :since_ms;

-- name: drop_admin_guesses
DELETE FROM admin_guesses WHERE minute_ms < :before_ms;

-- name: add_figure
INSERT INTO figures (
  name, span_ms, start_ms, labels, amount, total_ms, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13,
  b14, b15, b16, b17, b18, b19
)
VALUES (
  :name, :span_ms, :start_ms, :labels, :amount, :total_ms, :b0, :b1, :b2, :b3, :b4, :b5, :b6, :b7, :b8, :b9, :b10,
  :b11, :b12, :b13, :b14, :b15, :b16, :b17, :b18, :b19
)
ON CONFLICT (name, span_ms, start_ms, labels) DO UPDATE SET
  amount = figures.amount + excluded.amount, total_ms = figures.total_ms + excluded.total_ms,
  b0 = figures.b0 + excluded.b0, b1 = figures.b1 + excluded.b1, b2 = figures.b2 + excluded.b2,
  b3 = figures.b3 + excluded.b3, b4 = figures.b4 + excluded.b4, b5 = figures.b5 + excluded.b5,
  b6 = figures.b6 + excluded.b6, b7 = figures.b7 + excluded.b7, b8 = figures.b8 + excluded.b8,
  b9 = figures.b9 + excluded.b9, b10 = figures.b10 + excluded.b10, b11 = figures.b11 + excluded.b11,
  b12 = figures.b12 + excluded.b12, b13 = figures.b13 + excluded.b13, b14 = figures.b14 + excluded.b14,
  b15 = figures.b15 + excluded.b15, b16 = figures.b16 + excluded.b16, b17 = figures.b17 + excluded.b17,
  b18 = figures.b18 + excluded.b18, b19 = figures.b19 + excluded.b19 /* rows by name span_ms start_ms labels */;

-- name: add_count
INSERT INTO figures (name, span_ms, start_ms, labels, amount) VALUES (:name, :span_ms, :start_ms, :labels, :amount)
ON CONFLICT (name, span_ms, start_ms, labels) DO UPDATE SET amount = figures.amount + excluded.amount /* rows by name span_ms start_ms labels */;

-- name: read_figures
SELECT start_ms / :step_ms AS step, labels,
  CAST(SUM(amount) AS BIGINT), CAST(SUM(total_ms) AS BIGINT), CAST(SUM(b0) AS BIGINT), CAST(SUM(b1) AS BIGINT),
  CAST(SUM(b2) AS BIGINT), CAST(SUM(b3) AS BIGINT), CAST(SUM(b4) AS BIGINT), CAST(SUM(b5) AS BIGINT),
  CAST(SUM(b6) AS BIGINT), CAST(SUM(b7) AS BIGINT), CAST(SUM(b8) AS BIGINT), CAST(SUM(b9) AS BIGINT),
  CAST(SUM(b10) AS BIGINT), CAST(SUM(b11) AS BIGINT), CAST(SUM(b12) AS BIGINT), CAST(SUM(b13) AS BIGINT),
  CAST(SUM(b14) AS BIGINT), CAST(SUM(b15) AS BIGINT), CAST(SUM(b16) AS BIGINT), CAST(SUM(b17) AS BIGINT),
  CAST(SUM(b18) AS BIGINT), CAST(SUM(b19) AS BIGINT)
FROM figures
WHERE name = :name AND span_ms = :span_ms AND start_ms >= :from_ms AND start_ms < :to_ms
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: read_figure_totals
SELECT name, labels, amount, total_ms,
  b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, b16, b17, b18, b19
FROM figures WHERE span_ms = 0 ORDER BY name, labels;

-- name: figures_bound
SELECT start_ms FROM figures WHERE span_ms = :span_ms AND start_ms > :after AND start_ms < :before_ms
ORDER BY start_ms LIMIT 1 OFFSET :skip;

-- name: drop_figures
DELETE FROM figures WHERE span_ms = :span_ms AND start_ms > :after AND start_ms <= :upto RETURNING 1;

-- name: add_sample
INSERT INTO samples (name, span_ms, start_ms, value) VALUES (:name, :span_ms, :start_ms, :value)
ON CONFLICT (name, span_ms, start_ms) DO UPDATE SET
  value = CASE WHEN excluded.value > samples.value THEN excluded.value ELSE samples.value END /* rows by name span_ms start_ms */;

-- name: read_samples
SELECT name, start_ms / :step_ms AS step, MAX(value)
FROM samples
WHERE name IN (:names) AND span_ms = :span_ms AND start_ms >= :from_ms AND start_ms < :to_ms
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: samples_bound
SELECT start_ms FROM samples WHERE span_ms = :span_ms AND start_ms > :after AND start_ms < :before_ms
ORDER BY start_ms LIMIT 1 OFFSET :skip;

-- name: drop_samples
DELETE FROM samples WHERE span_ms = :span_ms AND start_ms > :after AND start_ms <= :upto RETURNING 1;

-- name: put_job_trace
INSERT INTO job_traces (lane, kind, key, context, at_ms) VALUES (:lane, :kind, :key, :context, :now)
ON CONFLICT (lane, kind, key) DO UPDATE SET context = excluded.context, at_ms = excluded.at_ms /* rows by lane kind key */;

-- name: job_traces_of
SELECT key, context FROM job_traces WHERE lane = :lane AND kind = :kind AND key IN (:keys);

-- name: job_traces_bound
SELECT at_ms FROM job_traces WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_job_traces
DELETE FROM job_traces WHERE at_ms > :after AND at_ms <= :upto RETURNING 1;

-- name: count_overdue
SELECT SUM(number), MIN(oldest_ms) FROM (
    SELECT COUNT(*) AS number, MIN(arrived_ms) AS oldest_ms FROM jobs
    WHERE state = 'ready' AND lane IN (:lanes) AND kind IN (:kinds) AND priority IN (:live, :live_bulk)
      AND arrived_ms < :before_ms
    UNION ALL
    SELECT COUNT(*), MIN(arrived_ms) FROM jobs
    WHERE state = 'running' AND owner <> '' AND lane IN (:lanes) AND kind IN (:kinds)
      AND priority IN (:live, :live_bulk) AND arrived_ms < :before_ms
) AS overdue;

-- name: oldest_overdue
SELECT lane, key FROM jobs
WHERE state = 'ready' AND lane IN (:lanes) AND kind IN (:kinds) AND priority IN (:live, :live_bulk)
  AND arrived_ms = :arrived_ms
UNION ALL
SELECT lane, key FROM jobs
WHERE state = 'running' AND owner <> '' AND lane IN (:lanes) AND kind IN (:kinds) AND priority IN (:live, :live_bulk)
  AND arrived_ms = :arrived_ms
ORDER BY 1, 2 LIMIT 1;

-- alerts

-- name: alert_states
SELECT code, subject, level, since_ms, pending, pending_ms, told, told_ms, what, way_out FROM alert_states
ORDER BY code, subject;

-- name: put_alert_state
INSERT INTO alert_states (code, subject, level, since_ms, pending, pending_ms, told, told_ms, what, way_out, revision)
VALUES (:code, :subject, :level, :since_ms, :pending, :pending_ms, :told, :told_ms, :what, :way_out, 1)
ON CONFLICT (code, subject) DO UPDATE SET level = excluded.level, since_ms = excluded.since_ms,
    pending = excluded.pending, pending_ms = excluded.pending_ms, told = excluded.told, told_ms = excluded.told_ms,
    what = excluded.what, way_out = excluded.way_out, revision = alert_states.revision + 1;

-- name: drop_alert_state
DELETE FROM alert_states WHERE code = :code AND subject = :subject;

-- name: add_alert_history
INSERT INTO alert_history (id, at_ms, code, subject, before_level, level, what, way_out)
VALUES (:id, :now, :code, :subject, :before_level, :level, :what, :way_out);

-- name: alert_history
SELECT id, at_ms, code, subject, before_level, level, what, way_out FROM alert_history
WHERE id < :below AND at_ms >= :since_ms ORDER BY id DESC LIMIT :limit;

-- name: alert_history_of_code
SELECT id, at_ms, code, subject, before_level, level, what, way_out FROM alert_history
WHERE code = :code AND id < :below AND at_ms >= :since_ms ORDER BY id DESC LIMIT :limit;

-- name: add_alert_delivery
INSERT INTO alert_deliveries (id, at_ms, kind, level, code, subject, title, body, recipient, label, state, attempts,
    due_ms, error, ended_ms, token, lease_ms)
VALUES (:id, :now, :kind, :level, :code, :subject, :title, :body, :recipient, :label, 'waiting', 0, :now, '', 0, '', 0);

-- The oldest that is due, of a recipient that no process is sending to: notices arrive in their order.
-- name: claim_alert_delivery
UPDATE alert_deliveries SET token = :token, lease_ms = :lease_ms, attempts = attempts + 1
WHERE id = (
    SELECT d.id FROM alert_deliveries d WHERE d.state = 'waiting' AND d.recipient IN (:recipients)
    AND (d.due_ms <= :now OR d.due_ms > :latest_ms) AND NOT EXISTS (
        SELECT 1 FROM alert_deliveries o WHERE o.recipient = d.recipient AND o.state = 'waiting'
        AND o.lease_ms > :now AND o.lease_ms <= :latest_ms)
    ORDER BY d.due_ms, d.id LIMIT 1 /* skip locked */)
AND state = 'waiting' AND (lease_ms <= :now OR lease_ms > :latest_ms)
RETURNING id, at_ms, kind, level, code, subject, title, body, recipient, label, state, attempts, due_ms, error, ended_ms;

-- name: claim_alert_test
UPDATE alert_deliveries SET token = :token, lease_ms = :lease_ms, attempts = attempts + 1
WHERE id = :id AND state = 'waiting' AND lease_ms <= :now RETURNING id;

-- name: end_alert_delivery
UPDATE alert_deliveries SET state = :state, error = :error, ended_ms = :now, lease_ms = 0
WHERE id = :id AND token = :token RETURNING id;

-- name: retry_alert_delivery
UPDATE alert_deliveries SET error = :error, due_ms = :due_ms, lease_ms = 0 WHERE id = :id AND token = :token RETURNING id;

-- Nothing else goes to a recipient that does not answer, before the next attempt.
-- name: postpone_alert_deliveries
UPDATE alert_deliveries SET due_ms = :due_ms WHERE recipient = :recipient AND state = 'waiting' AND due_ms < :due_ms
RETURNING id;

-- name: alert_deliveries
SELECT id, at_ms, kind, level, code, subject, title, body, recipient, label, state, attempts, due_ms, error, ended_ms
FROM alert_deliveries WHERE id < :below AND state IN (:states) ORDER BY id DESC LIMIT :limit;

-- name: count_alert_deliveries
SELECT COUNT(*) FROM alert_deliveries WHERE state = 'waiting';

-- name: failing_alert_recipients
SELECT recipient, label, COUNT(*), MAX(attempts), MIN(at_ms), MAX(error) FROM alert_deliveries
WHERE state = 'waiting' GROUP BY recipient, label HAVING MAX(attempts) >= :attempts ORDER BY recipient;

-- name: drop_alert_recipients
UPDATE alert_deliveries SET state = 'failed', error = :error, ended_ms = :now
WHERE state = 'waiting' AND recipient NOT IN (:recipients) AND at_ms < :before_ms RETURNING id;

-- name: alert_silences
SELECT id, code, subject, until_ms, reason, operator, at_ms FROM alert_silences WHERE until_ms > :now ORDER BY id;

-- name: add_alert_silence
INSERT INTO alert_silences (id, code, subject, until_ms, reason, operator, at_ms)
VALUES (:id, :code, :subject, :until_ms, :reason, :operator, :now);

-- name: end_alert_silence
UPDATE alert_silences SET until_ms = :now WHERE id = :id AND until_ms > :now RETURNING code;

-- The holder takes it again; another process takes it when it has ended, or when its end dates from a wrong clock, or
-- from a holder that can tell no recipient (:below).
-- name: take_alert_claim
UPDATE alert_claim SET owner = :owner, until_ms = :until_ms,
    revision = CASE WHEN owner = :owner THEN revision ELSE revision + 1 END
WHERE id = 1 AND (owner = :owner OR until_ms <= :now OR until_ms > :latest_ms OR owner LIKE :below)
RETURNING revision;

-- name: alert_claim
SELECT owner, until_ms, revision, evaluated_ms, digest_day, heartbeat_ms, heartbeat_error FROM alert_claim WHERE id = 1;

-- name: confirm_alert_claim
UPDATE alert_claim SET evaluated_ms = :now WHERE id = 1 AND owner = :owner AND revision = :revision RETURNING digest_day;

-- name: put_alert_digest_day
UPDATE alert_claim SET digest_day = :day WHERE id = 1;

-- One process calls at a time; where the rules are not evaluated any more, none does.
-- name: take_alert_heartbeat
UPDATE alert_claim SET heartbeat_ms = :now WHERE id = 1 AND evaluated_ms > :fresh_ms
AND (heartbeat_ms <= :before_ms OR heartbeat_ms > :ahead_ms) RETURNING id;

-- name: put_alert_heartbeat
UPDATE alert_claim SET heartbeat_ms = :at_ms, heartbeat_error = :error WHERE id = 1;

-- name: release_alert_claim
UPDATE alert_claim SET until_ms = 0 WHERE id = 1 AND owner = :owner RETURNING revision;

-- name: put_alert_report
INSERT INTO alert_reports (process, alarms, at_ms) VALUES (:process, :alarms, :now)
ON CONFLICT (process) DO UPDATE SET alarms = excluded.alarms, at_ms = excluded.at_ms;

-- name: drop_alert_report
DELETE FROM alert_reports WHERE process = :process;

-- name: alert_reports
SELECT process, alarms FROM alert_reports WHERE at_ms > :fresh_ms AND at_ms <= :ahead_ms ORDER BY process;

-- name: drop_old_alert_reports
DELETE FROM alert_reports WHERE at_ms < :before_ms;

-- The longest time between two minutes with an accepted webhook, and between the first and the last of them.
-- name: longest_webhook_gap
SELECT MAX(gap), MAX(minute_ms) - MIN(minute_ms), COUNT(*) FROM (
    SELECT minute_ms, minute_ms - LAG(minute_ms) OVER (ORDER BY minute_ms) AS gap FROM webhook_counts
    WHERE side = :side AND outcome = 'accepted' AND minute_ms >= :since_ms) AS gaps;

-- name: alert_counts
SELECT level, COUNT(*) FROM alert_history WHERE at_ms >= :since_ms AND at_ms < :until_ms AND level > before_level
GROUP BY level;

-- name: alert_history_bound
SELECT at_ms FROM alert_history WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_alert_history
DELETE FROM alert_history WHERE at_ms > :after AND at_ms <= :upto RETURNING id;

-- name: alert_deliveries_bound
SELECT at_ms FROM alert_deliveries WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_alert_deliveries
DELETE FROM alert_deliveries WHERE at_ms > :after AND at_ms <= :upto AND state IN ('sent', 'failed') RETURNING id;

-- name: alert_silences_bound
SELECT until_ms FROM alert_silences WHERE until_ms > :after AND until_ms < :before_ms
ORDER BY until_ms LIMIT 1 OFFSET :skip;

-- name: drop_alert_silences
DELETE FROM alert_silences WHERE until_ms > :after AND until_ms <= :upto RETURNING id;

-- answers of the API

-- name: begin_api_answer
INSERT INTO api_answers (id, request_hash, began_ms, status, answer) VALUES (:id, :request_hash, :now, 0, '')
ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: lock_api_answer
SELECT request_hash, began_ms, status, answer FROM api_answers WHERE id = :id /* lock */;

-- name: restart_api_answer
UPDATE api_answers SET began_ms = :now WHERE id = :id;

-- name: finish_api_answer
UPDATE api_answers SET status = :status, answer = :answer WHERE id = :id;

-- name: forget_api_answer
DELETE FROM api_answers WHERE id = :id;

-- name: api_answers_bound
SELECT began_ms FROM api_answers WHERE began_ms > :after AND began_ms < :before_ms
ORDER BY began_ms LIMIT 1 OFFSET :skip;

-- name: drop_api_answers
DELETE FROM api_answers WHERE began_ms > :after AND began_ms <= :upto RETURNING 1;

-- the queue as operators see and steer it: lists, one job, failed attempts, bulk runs

-- lane || and kind || as in dead_jobs.
-- name: dead_page
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, due_is_fixed, superseded, ended_ms, claimed_ms FROM jobs
WHERE state = 'dead' AND ended_ms >= :since_ms AND ended_ms <= :until_ms AND (ended_ms < :at_ms OR (ended_ms = :at_ms AND id < :id))
AND lane || '' IN (:lanes) AND kind || '' IN (:kinds) AND (:dead_class = '' OR dead_class || '' = :dead_class)
AND (:reason = '' OR lower(reason) LIKE :reason ESCAPE '!') ORDER BY ended_ms DESC, id DESC LIMIT :limit;

-- name: discarded_page
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, due_is_fixed, superseded, ended_ms, claimed_ms FROM jobs
WHERE state = 'done' AND waits_for = 'discarded' AND ended_ms >= :since_ms AND ended_ms <= :until_ms
AND (ended_ms < :at_ms OR (ended_ms = :at_ms AND id < :id))
AND lane || '' IN (:lanes) AND kind || '' IN (:kinds) AND (:dead_class = '' OR dead_class || '' = :dead_class)
AND (:reason = '' OR lower(reason) LIKE :reason ESCAPE '!') ORDER BY ended_ms DESC, id DESC LIMIT :limit;

-- name: done_page
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, due_is_fixed, superseded, ended_ms, claimed_ms FROM jobs
WHERE lane = :lane AND kind = :kind AND state = 'done' AND waits_for || '' <> 'discarded' AND ended_ms >= :since_ms
AND ended_ms <= :until_ms AND (ended_ms < :at_ms OR (ended_ms = :at_ms AND id < :id))
ORDER BY ended_ms DESC, id DESC LIMIT :limit;

-- name: ready_page
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, due_is_fixed, superseded, ended_ms, claimed_ms FROM jobs
WHERE lane = :lane AND state = 'ready' AND due_ms > -1 AND due_ms >= :due_from_ms AND due_ms <= :due_to_ms
AND (due_ms > :at_ms OR (due_ms = :at_ms AND id > :id)) AND attempts >= :least AND attempts <= :most
AND kind || '' IN (:kinds) AND arrived_ms >= :since_ms AND arrived_ms <= :until_ms
AND (:waits_for = '' OR waits_for || '' = :waits_for) AND (:reason = '' OR lower(reason) LIKE :reason ESCAPE '!') ORDER BY due_ms, id LIMIT :limit;

-- name: running_jobs
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, due_is_fixed, superseded, ended_ms, claimed_ms FROM jobs WHERE state = 'running' ORDER BY key, kind, lane LIMIT :limit;

-- name: unfinished_jobs_of_keys
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, due_is_fixed, superseded, ended_ms, claimed_ms FROM jobs WHERE key IN (:keys) AND state = 'ready'
UNION ALL SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, due_is_fixed, superseded, ended_ms, claimed_ms FROM jobs WHERE key IN (:keys) AND state = 'running'
UNION ALL SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, due_is_fixed, superseded, ended_ms, claimed_ms FROM jobs WHERE lane IN (:lanes) AND kind IN (:kinds) AND key IN (:keys) AND state = 'dead'
ORDER BY id;

-- name: listed_jobs
SELECT id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, token, owner, waits_for, reason,
    dead_class, run_id, turns, due_is_fixed, superseded, ended_ms, claimed_ms FROM jobs WHERE id IN (:ids) ORDER BY id;

-- One row for each combination of values, of the newest rows only; waits: 1 for a job that is not due.
-- name: ready_values
SELECT lane, kind, waits_for, reason, CASE WHEN attempts > 0 THEN 'retrying' WHEN due_ms <= :now THEN 'due' ELSE 'waiting' END,
    CASE WHEN arrived_ms >= :age_1 THEN 0 WHEN arrived_ms >= :age_2 THEN 1 WHEN arrived_ms >= :age_3 THEN 2
        WHEN arrived_ms >= :age_4 THEN 3 ELSE 4 END, COUNT(*)
FROM (SELECT lane, kind, waits_for, reason, attempts, due_ms, arrived_ms FROM jobs
    WHERE state = 'ready' AND due_ms > -1 LIMIT :limit) AS some_jobs
GROUP BY 1, 2, 3, 4, 5, 6;

-- name: dead_values
SELECT lane, kind, dead_class, reason, 'dead',
    CASE WHEN ended_ms >= :age_1 THEN 0 WHEN ended_ms >= :age_2 THEN 1 WHEN ended_ms >= :age_3 THEN 2
        WHEN ended_ms >= :age_4 THEN 3 ELSE 4 END, COUNT(*)
FROM (SELECT lane, kind, dead_class, reason, ended_ms FROM jobs
    WHERE state = 'dead' AND ended_ms > 0 ORDER BY ended_ms DESC LIMIT :limit) AS some_jobs
GROUP BY 1, 2, 3, 4, 5, 6;

-- name: discarded_values
SELECT lane, kind, dead_class, reason, 'discarded',
    CASE WHEN ended_ms >= :age_1 THEN 0 WHEN ended_ms >= :age_2 THEN 1 WHEN ended_ms >= :age_3 THEN 2
        WHEN ended_ms >= :age_4 THEN 3 ELSE 4 END, COUNT(*)
FROM (SELECT lane, kind, dead_class, reason, ended_ms FROM jobs
    WHERE state = 'done' AND waits_for = 'discarded' ORDER BY ended_ms DESC LIMIT :limit) AS some_jobs
GROUP BY 1, 2, 3, 4, 5, 6;

-- name: count_dead_matching
SELECT dead_class, COUNT(*) FROM jobs
WHERE state = 'dead' AND ended_ms >= :since_ms AND ended_ms <= :until_ms
AND lane || '' IN (:lanes) AND kind || '' IN (:kinds) AND (:dead_class = '' OR dead_class || '' = :dead_class)
AND (:reason = '' OR lower(reason) LIKE :reason ESCAPE '!') GROUP BY dead_class ORDER BY dead_class;

-- name: dead_slice
SELECT id, ended_ms FROM jobs
WHERE state = 'dead' AND ended_ms >= :since_ms AND ended_ms <= :until_ms AND (ended_ms > :at_ms OR (ended_ms = :at_ms AND id > :id))
AND lane || '' IN (:lanes) AND kind || '' IN (:kinds) AND (:dead_class = '' OR dead_class || '' = :dead_class)
AND (:reason = '' OR lower(reason) LIKE :reason ESCAPE '!') ORDER BY ended_ms, id LIMIT :limit;

-- What is unanswered is not closed: it may have taken effect, and has to be settled (docs/correctness.md#discarded-jobs).
-- name: discard_jobs
UPDATE jobs SET state = 'done', superseded = 1, ended_ms = :now, waits_for = 'discarded'
WHERE id IN (:ids) AND state || '' = 'dead' AND (kind <> 'write' OR (
    SELECT COUNT(*) FROM pending_writes w WHERE w.link_key = jobs.key AND w.side = jobs.lane AND w.result = '') < 1)
RETURNING id;

-- A wait that the vendor asked for, or for a condition, is not ended early.
-- name: end_backoffs
UPDATE jobs SET due_ms = :now, is_far = 0 WHERE id IN (:ids) AND state || '' = 'ready' AND waits_for || '' = 'backoff'
AND due_is_fixed = 0 RETURNING id, lane;

-- name: add_job_attempt
INSERT INTO job_attempts (job_id, at_ms, attempt, outcome, code, reason)
VALUES (:job_id, :now, :attempt, :outcome, :code, :reason) ON CONFLICT DO NOTHING /* rows by job_id */;

-- name: attempts_of_job
SELECT at_ms, attempt, outcome, code, reason FROM job_attempts WHERE job_id = :job_id ORDER BY at_ms DESC, attempt DESC LIMIT :limit;

-- name: add_bulk_run
INSERT INTO bulk_runs (id, action, state, selection, operator, via, total, changed, kept, until_ms, after_ms, after_id,
    owner, lease_ms, created_ms, ended_ms, ended_by)
VALUES (:id, :action, 'running', :selection, :operator, :via, :total, 0, 0, :until_ms, 0, '', :owner, :lease_ms, :now, 0, '')
ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: get_bulk_run
SELECT id, action, state, selection, operator, via, total, changed, kept, until_ms, after_ms, after_id, owner, lease_ms,
    created_ms, ended_ms, ended_by FROM bulk_runs WHERE id = :id;

-- name: lock_bulk_run
SELECT id, action, state, selection, operator, via, total, changed, kept, until_ms, after_ms, after_id, owner, lease_ms,
    created_ms, ended_ms, ended_by FROM bulk_runs WHERE id = :id /* lock */;

-- name: list_bulk_runs
SELECT id, action, state, selection, operator, via, total, changed, kept, until_ms, after_ms, after_id, owner, lease_ms,
    created_ms, ended_ms, ended_by FROM bulk_runs
WHERE created_ms < :at_ms OR (created_ms = :at_ms AND id < :id) ORDER BY created_ms DESC, id DESC LIMIT :limit;

-- A lease in the future beyond its longest duration is none (docs/correctness.md#clocks).
-- name: free_bulk_runs
SELECT id FROM bulk_runs
WHERE state = 'running' AND (owner = '' OR owner = :owner OR lease_ms <= :now OR lease_ms > :ahead_ms)
ORDER BY created_ms, id LIMIT :limit;

-- name: take_bulk_run
UPDATE bulk_runs SET owner = :owner, lease_ms = :lease_ms
WHERE id = :id AND state = 'running' AND (owner = '' OR owner = :owner OR lease_ms <= :now OR lease_ms > :ahead_ms)
RETURNING id;

-- name: move_bulk_run
UPDATE bulk_runs SET changed = changed + :changed, kept = kept + :kept, after_ms = :after_ms, after_id = :after_id,
    lease_ms = :lease_ms WHERE id = :id;

-- name: end_bulk_run
UPDATE bulk_runs SET state = :state, ended_ms = :now, ended_by = :ended_by, owner = '', lease_ms = 0
WHERE id = :id AND state = 'running' RETURNING id;

-- name: release_bulk_runs
UPDATE bulk_runs SET owner = '', lease_ms = 0 WHERE state = 'running' AND owner = :owner;

-- name: add_bulk_run_job
INSERT INTO bulk_run_jobs (run_id, job_id, outcome, at_ms) VALUES (:run_id, :job_id, :outcome, :now)
ON CONFLICT (run_id, job_id) DO NOTHING /* rows by run_id job_id */;

-- name: handled_by_bulk_run
SELECT job_id FROM bulk_run_jobs WHERE run_id = :run_id AND job_id IN (:ids);

-- name: bulk_runs_of_job
SELECT b.run_id, b.outcome, b.at_ms, r.operator, r.via FROM bulk_run_jobs b LEFT JOIN bulk_runs r ON r.id = b.run_id
WHERE b.job_id = :job_id ORDER BY b.at_ms, b.run_id;

-- name: states_of_bulk_run
SELECT b.outcome, j.state, COUNT(*) FROM bulk_run_jobs b LEFT JOIN jobs j ON j.id = b.job_id
WHERE b.run_id = :run_id GROUP BY b.outcome, j.state;

-- name: job_attempts_bound
SELECT at_ms FROM job_attempts WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_job_attempts
DELETE FROM job_attempts WHERE at_ms > :after AND at_ms <= :upto RETURNING 1;

-- name: bulk_run_jobs_bound
SELECT at_ms FROM bulk_run_jobs WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_bulk_run_jobs
DELETE FROM bulk_run_jobs WHERE at_ms > :after AND at_ms <= :upto RETURNING 1;

-- name: bulk_runs_bound
SELECT created_ms FROM bulk_runs WHERE created_ms > :after AND created_ms < :before_ms ORDER BY created_ms LIMIT 1 OFFSET :skip;

-- name: drop_bulk_runs
DELETE FROM bulk_runs WHERE created_ms > :after AND created_ms <= :upto AND state <> 'running' RETURNING 1;

-- reconcile runs

-- name: add_reconcile_run
INSERT INTO reconcile_runs (id, state, active, beat_ms, process, cancel_asked, facts)
VALUES (:id, :state, :active, :now, '', 0, :facts);

-- name: reconcile_run
SELECT id, state, beat_ms, process, cancel_asked, facts FROM reconcile_runs WHERE id = :id;

-- name: active_reconcile_run
SELECT id, state, beat_ms, process, cancel_asked, facts FROM reconcile_runs WHERE active = 1;

-- name: reconcile_runs_before
SELECT id, state, beat_ms, process, cancel_asked, facts FROM reconcile_runs
WHERE id < :before ORDER BY id DESC LIMIT :limit;

-- Only from the state it was read in: of two who change a run, one does.
-- name: change_reconcile_run
UPDATE reconcile_runs SET state = :state, active = :active, beat_ms = :now, process = :process, cancel_asked = :cancel_asked,
    facts = :facts
WHERE id = :id AND state = :before AND facts = :facts_before RETURNING 1;

-- name: beat_reconcile_run
UPDATE reconcile_runs SET beat_ms = :now WHERE id = :id AND process = :process AND active = 1 RETURNING cancel_asked;

-- name: cancel_reconcile_run
UPDATE reconcile_runs SET cancel_asked = 1 WHERE id = :id AND active = 1 RETURNING 1;

-- name: add_reconcile_item
INSERT INTO reconcile_items (id, run_id, kind, is_planned, hubspot_id, stripe_id, data)
VALUES (:id, :run_id, :kind, :is_planned, :hubspot_id, :stripe_id, :data) /* rows by id */;

-- name: reconcile_items_of_kind
SELECT id, kind, is_planned, hubspot_id, stripe_id, data FROM reconcile_items
WHERE run_id = :run_id AND kind = :kind AND id > :after ORDER BY id LIMIT :limit;

-- name: planned_reconcile_items
SELECT id, kind, is_planned, hubspot_id, stripe_id, data FROM reconcile_items
WHERE id > :after AND id < :until AND is_planned = 1 ORDER BY id LIMIT :limit;

-- name: count_reconcile_items
SELECT COUNT(*) FROM reconcile_items WHERE run_id = :run_id AND is_planned = 1;

-- name: erase_reconcile_items
DELETE FROM reconcile_items WHERE (hubspot_id <> '' AND hubspot_id IN (:contacts))
    OR (stripe_id <> '' AND stripe_id IN (:customers));

-- name: reconcile_items_bound
SELECT id FROM reconcile_items WHERE id > :after AND id < :before ORDER BY id LIMIT 1 OFFSET :skip;

-- name: drop_reconcile_items
DELETE FROM reconcile_items WHERE id > :after AND id <= :upto RETURNING 1;

-- name: reconcile_runs_bound
SELECT id FROM reconcile_runs WHERE id > :after AND id < :before ORDER BY id LIMIT 1 OFFSET :skip;

-- name: drop_reconcile_runs
DELETE FROM reconcile_runs WHERE id > :after AND id <= :upto AND active = 0 RETURNING 1;

-- name: key_ids_in_reconcile_items
SELECT id, substr(data, 2, 4) FROM reconcile_items WHERE id > :after ORDER BY id LIMIT :limit;

-- name: sealed_reconcile_items
SELECT id, data FROM reconcile_items WHERE id = :first;

-- name: reseal_reconcile_items
UPDATE reconcile_items SET data = :new_data WHERE id IN (
    SELECT id FROM reconcile_items WHERE id = :first AND data = :data /* skip locked */) RETURNING id;

-- crowds

-- name: add_source_count
INSERT INTO source_counts (id, source, at_ms, records) VALUES (:id, :source, :at_ms, :records);

-- name: sum_source_counts
SELECT source, SUM(records) FROM source_counts WHERE source IN (:sources) AND at_ms > :since_ms GROUP BY source;

-- name: source_counts_bound
SELECT at_ms FROM source_counts WHERE at_ms > :after AND at_ms < :before_ms ORDER BY at_ms LIMIT 1 OFFSET :skip;

-- name: drop_source_counts
DELETE FROM source_counts WHERE at_ms > :after AND at_ms <= :upto RETURNING 1;
