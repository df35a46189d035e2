-- One text for SQLite and Postgres. Times are milliseconds since 1970 (BIGINT), flags are 0 or 1, and every payload is
-- encrypted (a BLOB). queries.py turns BLOB into BYTEA and gives TEXT the byte order that both databases share.
-- A released migration is never changed: add the next one below it.

-- migration: 0001 first
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE records (
    side TEXT NOT NULL,
    id TEXT NOT NULL,
    content BLOB NOT NULL,
    valid_from_ms BIGINT NOT NULL,
    valid_to_ms BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    stale INTEGER NOT NULL CHECK (stale IN (0, 1)),
    deleted INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    survivor TEXT NOT NULL,
    -- Deleted for privacy, which is final; absent_ms: since when reads do not find it, missing: not asked for any more.
    erased INTEGER NOT NULL CHECK (erased IN (0, 1)),
    absent_ms BIGINT NOT NULL,
    missing INTEGER NOT NULL CHECK (missing IN (0, 1)),
    -- How many answers in a row lacked a field of the map.
    unanswered INTEGER NOT NULL DEFAULT 0,
    other_id TEXT NOT NULL,
    note_code TEXT NOT NULL,
    note TEXT NOT NULL,
    stored_ms BIGINT NOT NULL,
    PRIMARY KEY (side, id)
);
CREATE INDEX records_alive ON records (side, id) WHERE deleted = 0 AND survivor = '';
CREATE INDEX records_other ON records (side, other_id) WHERE other_id <> '';
-- The few exceptions are counted and subtracted from the whole.
CREATE INDEX records_gone ON records (side, deleted, survivor) WHERE deleted = 1 OR survivor <> '';
CREATE INDEX records_missing ON records (side, id) WHERE missing = 1;
CREATE INDEX records_unanswered ON records (side, id) WHERE unanswered > 0;
CREATE INDEX records_noted ON records (side, id) WHERE note_code <> '';

CREATE TABLE emails (
    side TEXT NOT NULL,
    id TEXT NOT NULL,
    hmac TEXT NOT NULL,
    PRIMARY KEY (side, id, hmac)
);
CREATE INDEX emails_hmac ON emails (hmac);

CREATE TABLE links (
    id TEXT NOT NULL PRIMARY KEY,
    hubspot_id TEXT NOT NULL,
    stripe_id TEXT NOT NULL,
    is_primary INTEGER NOT NULL CHECK (is_primary IN (0, 1)),
    base BLOB NOT NULL,
    parked BLOB NOT NULL,
    put_back BLOB NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'orphaned', 'released')),
    -- The generation of the field map it was made in: docs/correctness.md#changes-of-the-field-map
    map_generation INTEGER NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    -- Keyed hashes of each side's half of the base: an unchanged link is recognised without decryption.
    hubspot_hash TEXT NOT NULL,
    stripe_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX links_pair ON links (hubspot_id, stripe_id);
CREATE UNIQUE INDEX links_customer ON links (stripe_id) WHERE state = 'active';
CREATE UNIQUE INDEX links_primary ON links (hubspot_id) WHERE state = 'active' AND is_primary = 1;
CREATE INDEX links_stripe ON links (stripe_id);
CREATE INDEX links_inactive ON links (state) WHERE state <> 'active';
CREATE INDEX links_parked ON links (id) WHERE length(parked) > 0;

CREATE TABLE events (
    key TEXT NOT NULL PRIMARY KEY,
    side TEXT NOT NULL,
    kind TEXT NOT NULL,
    record_id TEXT NOT NULL,
    occurred_ms BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    request_key TEXT NOT NULL,
    source TEXT NOT NULL,
    data BLOB NOT NULL,
    is_read INTEGER NOT NULL CHECK (is_read IN (0, 1)),
    is_judged INTEGER NOT NULL CHECK (is_judged IN (0, 1)),
    emptied INTEGER NOT NULL DEFAULT 0 CHECK (emptied IN (0, 1))
);
CREATE INDEX events_record ON events (side, record_id, occurred_ms);
CREATE INDEX events_unread ON events (side, record_id) WHERE is_read = 0;
CREATE INDEX events_unjudged ON events (side, record_id) WHERE is_judged = 0;
-- Retention empties and drops settled events only: unread and unjudged ones are not in this index.
CREATE INDEX events_settled ON events (emptied, received_ms) WHERE is_read = 1 AND is_judged = 1;

CREATE TABLE rejected (
    id TEXT NOT NULL PRIMARY KEY,
    side TEXT NOT NULL,
    reason TEXT NOT NULL,
    body BLOB NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX rejected_at ON rejected (at_ms);

-- How many webhook requests of a side had an outcome (a reason code of the web door) in each minute.
CREATE TABLE webhook_counts (
    side TEXT NOT NULL,
    outcome TEXT NOT NULL,
    minute_ms BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (side, outcome, minute_ms)
);
CREATE INDEX webhook_counts_minute ON webhook_counts (minute_ms);

CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    lane TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ready', 'running', 'done', 'dead')),
    priority INTEGER NOT NULL,
    due_ms BIGINT NOT NULL,
    due_is_fixed INTEGER NOT NULL CHECK (due_is_fixed IN (0, 1)),
    arrived_ms BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    rescues INTEGER NOT NULL,
    token TEXT NOT NULL,
    owner TEXT NOT NULL,
    waits_for TEXT NOT NULL,
    reason TEXT NOT NULL,
    dead_class TEXT NOT NULL,
    run_id TEXT NOT NULL,
    turns INTEGER NOT NULL,
    superseded INTEGER NOT NULL CHECK (superseded IN (0, 1)),
    ended_ms BIGINT NOT NULL,
    -- When it was claimed last; 0: never.
    claimed_ms BIGINT NOT NULL DEFAULT 0,
    -- Due only much later: kept out of jobs_queue, so that a claim does not walk past it.
    is_far INTEGER NOT NULL DEFAULT 0 CHECK (is_far IN (0, 1))
);
CREATE UNIQUE INDEX jobs_ready ON jobs (key, kind, lane) WHERE state = 'ready';
CREATE UNIQUE INDEX jobs_running ON jobs (key, kind, lane) WHERE state = 'running';
CREATE INDEX jobs_queue ON jobs (lane, kind, priority, arrived_ms, id) WHERE state = 'ready' AND is_far = 0;
CREATE INDEX jobs_far ON jobs (lane, due_ms, id) WHERE state = 'ready' AND is_far = 1;
-- For the next due time only. A claim walks jobs_queue in order; the condition on due_ms keeps it off this index.
CREATE INDEX jobs_due ON jobs (lane, due_ms) WHERE state = 'ready' AND due_ms > -1;
CREATE INDEX jobs_failing ON jobs (attempts, id) WHERE state = 'ready' AND attempts >= 6;
CREATE INDEX jobs_idle ON jobs (turns, id) WHERE state = 'ready' AND turns >= 20;
CREATE INDEX jobs_suspect ON jobs (lane, due_ms) WHERE state = 'ready' AND rescues >= 2;
-- Those of one process are read only when it gives them back: jobs_running, which is as long as all that run, will do.
CREATE INDEX jobs_suspect_running ON jobs (owner) WHERE state = 'running' AND rescues >= 2;
CREATE INDEX jobs_dead ON jobs (lane, kind, key) WHERE state = 'dead';
CREATE INDEX jobs_dead_class ON jobs (lane, kind, dead_class, ended_ms, state) WHERE state = 'dead';
CREATE INDEX jobs_dead_when ON jobs (ended_ms, id) WHERE state = 'dead';
-- Covers every count of ended jobs. SQLite uses an index alone only if it holds the column of its condition too.
CREATE INDEX jobs_done ON jobs (lane, kind, ended_ms, superseded, attempts, state) WHERE state = 'done';
CREATE INDEX jobs_run ON jobs (run_id) WHERE run_id <> '' AND state IN ('ready', 'running');
-- Dead letters that an operator closed without another attempt.
CREATE INDEX jobs_discarded ON jobs (ended_ms, id) WHERE state = 'done' AND waits_for = 'discarded';

CREATE TABLE processes (
    name TEXT NOT NULL PRIMARY KEY,
    lanes TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    heartbeat_ms BIGINT NOT NULL,
    map_generation INTEGER NOT NULL DEFAULT 0,
    -- The encryption keys it has read (id/fingerprint, blanks between them), the one that it encrypts with first.
    key_ids TEXT NOT NULL DEFAULT ''
);

CREATE TABLE locks (
    key TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL,
    owner TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);
CREATE INDEX locks_token ON locks (token);

CREATE TABLE pending_writes (
    id TEXT NOT NULL PRIMARY KEY,
    side TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('create', 'update')),
    link_key TEXT NOT NULL,
    source_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    data BLOB NOT NULL,
    link_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_ms BIGINT NOT NULL,
    sent_ms BIGINT NOT NULL,
    result TEXT NOT NULL,
    result_ms BIGINT NOT NULL,
    landed_ms BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX pending_writes_open ON pending_writes (link_key) WHERE result = '';
CREATE INDEX pending_writes_key ON pending_writes (side, idempotency_key, id);
CREATE INDEX pending_writes_target ON pending_writes (side, target_id, sent_ms);
CREATE INDEX pending_writes_source ON pending_writes (side, source_id) WHERE kind = 'create';

CREATE TABLE open_creates (
    hmac TEXT NOT NULL PRIMARY KEY,
    write_id TEXT NOT NULL
);
CREATE INDEX open_creates_write ON open_creates (write_id);

CREATE TABLE purchases (
    payment_id TEXT NOT NULL PRIMARY KEY,
    charge_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    hmac TEXT NOT NULL,
    occurred_ms BIGINT NOT NULL,
    data BLOB NOT NULL,
    sink TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('todo', 'waiting', 'sent', 'unmatched')),
    contact_id TEXT NOT NULL,
    waits_for TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX purchases_customer ON purchases (customer_id) WHERE state IN ('waiting', 'unmatched');
CREATE INDEX purchases_hmac ON purchases (hmac) WHERE state IN ('waiting', 'unmatched');
-- Those that are looked at for the first time, perhaps just now.
CREATE INDEX purchases_new_customer ON purchases (customer_id) WHERE state = 'todo';
CREATE INDEX purchases_new_hmac ON purchases (hmac) WHERE state = 'todo';
CREATE INDEX purchases_waits ON purchases (waits_for, created_ms) WHERE state IN ('waiting', 'unmatched') AND waits_for <> '';
CREATE INDEX purchases_charge ON purchases (charge_id);
CREATE INDEX purchases_contact ON purchases (contact_id) WHERE contact_id <> '';
CREATE INDEX purchases_state ON purchases (state, created_ms);

CREATE TABLE conflicts (
    id TEXT NOT NULL PRIMARY KEY,
    link_id TEXT NOT NULL,
    side TEXT NOT NULL,
    record_id TEXT NOT NULL,
    field TEXT NOT NULL,
    kind TEXT NOT NULL,
    value BLOB NOT NULL,
    value_hash TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    closed_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX conflicts_open ON conflicts (side, record_id, field, value_hash) WHERE closed_ms = 0;
CREATE INDEX conflicts_record ON conflicts (record_id, side);
CREATE INDEX conflicts_at ON conflicts (at_ms) WHERE closed_ms = 0;

CREATE TABLE tombstones (
    side TEXT NOT NULL,
    id TEXT NOT NULL,
    hmac TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    erased INTEGER NOT NULL CHECK (erased IN (0, 1)),
    PRIMARY KEY (side, id, hmac)
);
CREATE INDEX tombstones_hmac ON tombstones (hmac);

CREATE TABLE journal (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    side TEXT NOT NULL,
    record_id TEXT NOT NULL,
    link_id TEXT NOT NULL,
    operator TEXT NOT NULL,
    via TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX journal_at ON journal (at_ms, seq);
CREATE INDEX journal_kind ON journal (kind, at_ms, seq);
CREATE INDEX journal_operator ON journal (operator, at_ms) WHERE operator <> '';
CREATE INDEX journal_record ON journal (record_id, at_ms) WHERE record_id <> '';
CREATE INDEX journal_link ON journal (link_id, at_ms) WHERE link_id <> '';

CREATE TABLE pauses (
    name TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    away INTEGER NOT NULL CHECK (away IN (0, 1)),
    since_ms BIGINT NOT NULL,
    probe_ms BIGINT NOT NULL
);

-- Batches that failed and were not committed since, by where: several processes may fail at one place.
CREATE TABLE failed_batches (
    place TEXT NOT NULL,
    process TEXT NOT NULL,
    reason TEXT NOT NULL,
    times BIGINT NOT NULL,
    first_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (place, process)
);

-- tat_us: the theoretical arrival time of the generic cell rate algorithm, in microseconds.
CREATE TABLE rates (
    scope TEXT NOT NULL PRIMARY KEY,
    configured DOUBLE PRECISION NOT NULL,
    effective DOUBLE PRECISION NOT NULL,
    filed DOUBLE PRECISION NOT NULL,
    ceiling DOUBLE PRECISION NOT NULL,
    reason TEXT NOT NULL,
    lowered_ms BIGINT NOT NULL,
    raised_ms BIGINT NOT NULL,
    tat_us BIGINT NOT NULL,
    -- Until when the vendor asked for no request (Retry-After); 0: it did not.
    held_ms BIGINT NOT NULL DEFAULT 0,
    updated_ms BIGINT NOT NULL
);

CREATE TABLE quota_uses (
    scope TEXT NOT NULL,
    span TEXT NOT NULL CHECK (span IN ('second', 'day')),
    began_ms BIGINT NOT NULL,
    used BIGINT NOT NULL,
    bulk BIGINT NOT NULL,
    PRIMARY KEY (scope, span, began_ms)
);

CREATE TABLE holds (
    id TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('brake', 'loop', 'field')),
    state TEXT NOT NULL CHECK (state IN ('open', 'released', 'discarded')),
    since_ms BIGINT NOT NULL,
    closed_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX holds_open ON holds (source) WHERE state = 'open';

CREATE TABLE held_fields (
    link_id TEXT NOT NULL,
    field TEXT NOT NULL,
    hold_id TEXT NOT NULL,
    side TEXT NOT NULL,
    data BLOB NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (link_id, field)
);
CREATE INDEX held_fields_hold ON held_fields (hold_id, link_id, field);

CREATE TABLE overwrites (
    source TEXT NOT NULL,
    link_id TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (source, link_id)
);

-- A process locks the row of a source while it counts it, so that two processes do not count it at once.
CREATE TABLE overwrite_sources (
    source TEXT NOT NULL PRIMARY KEY,
    counted_ms BIGINT NOT NULL
);

-- The audit log: rows are appended, and each has a keyed hash over itself and the hash before it.
CREATE TABLE audit_log (
    seq BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    operator TEXT NOT NULL,
    via TEXT NOT NULL CHECK (via IN ('cli', 'page', 'api', 'system')),
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before_state TEXT NOT NULL,
    after_state TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_log_at ON audit_log (at_ms);
CREATE INDEX audit_log_subject ON audit_log (subject, seq);

-- One row: the newest number and hash. It is locked by the one who appends.
CREATE TABLE audit_head (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');

/* sqlite */ CREATE TRIGGER audit_log_unchanged BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END;
/* sqlite */ CREATE TRIGGER audit_log_kept BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END;
/* postgres */ CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''the audit log is never changed''; END';
/* postgres */ CREATE TRIGGER audit_log_unchanged BEFORE UPDATE OR DELETE ON audit_log
FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();

-- Log lines, where [log] store is on: masked before they come here. level: as Python's logging numbers it.
CREATE TABLE log_lines (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    seq INTEGER NOT NULL,
    level INTEGER NOT NULL,
    event TEXT NOT NULL,
    logger TEXT NOT NULL,
    process TEXT NOT NULL,
    side TEXT NOT NULL,
    record_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX log_lines_at ON log_lines (at_ms, seq);
CREATE INDEX log_lines_level ON log_lines (level, at_ms, seq);
CREATE INDEX log_lines_event ON log_lines (event, at_ms, seq);
CREATE INDEX log_lines_record ON log_lines (record_id, at_ms) WHERE record_id <> '';
CREATE INDEX log_lines_correlation ON log_lines (correlation_id, at_ms) WHERE correlation_id <> '';

-- Access to the admin service. secrets: the hash of the password, the secret of the second factor, recovery codes.
CREATE TABLE admin_users (
    name TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    secrets BLOB NOT NULL,
    can_sign_in INTEGER NOT NULL CHECK (can_sign_in IN (0, 1)),
    has_totp INTEGER NOT NULL CHECK (has_totp IN (0, 1)),
    created_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL
);

-- Sessions, by the SHA-256 of their cookie.
CREATE TABLE admin_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    user_name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    -- When the user gave password and second factor last; 0 for a session of single sign-on.
    proved_ms BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX admin_sessions_user ON admin_sessions (user_name);
CREATE INDEX admin_sessions_seen ON admin_sessions (seen_ms);

-- Tokens of the API, by the SHA-256 of their secret half.
CREATE TABLE admin_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    hash TEXT NOT NULL,
    made_by TEXT NOT NULL,
    -- The user whose role bounds it at any time; '' for one that was made in the terminal.
    owner TEXT NOT NULL DEFAULT '',
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms BIGINT NOT NULL
);

-- Links that work once: to make the first user (user_name is ''), or to set a password. By the SHA-256 of their token.
CREATE TABLE admin_links (
    hash TEXT NOT NULL PRIMARY KEY,
    user_name TEXT NOT NULL,
    expires_ms BIGINT NOT NULL
);

-- Guesses of passwords, by the minute. subject: a keyed hash of a user's name or of an address.
CREATE TABLE admin_guesses (
    subject TEXT NOT NULL,
    minute_ms BIGINT NOT NULL,
    guesses BIGINT NOT NULL,
    PRIMARY KEY (subject, minute_ms)
);
CREATE INDEX admin_guesses_minute ON admin_guesses (minute_ms);

-- Figures (docs/operating.md#figures): counts and histograms, written to three spans at once: the minute (span_ms
-- 60000), the hour (3600000), and everything since the beginning (0). Labels are codes of the program.
CREATE TABLE figures (
    name TEXT NOT NULL,
    span_ms BIGINT NOT NULL,
    start_ms BIGINT NOT NULL,
    labels TEXT NOT NULL,
    amount BIGINT NOT NULL,
    -- Sum of the times in ms, and how many fell in each bucket (core/operating/figures.py): NULL of what is only counted.
    total_ms BIGINT,
    b0 BIGINT,
    b1 BIGINT,
    b2 BIGINT,
    b3 BIGINT,
    b4 BIGINT,
    b5 BIGINT,
    b6 BIGINT,
    b7 BIGINT,
    b8 BIGINT,
    b9 BIGINT,
    b10 BIGINT,
    b11 BIGINT,
    b12 BIGINT,
    b13 BIGINT,
    b14 BIGINT,
    b15 BIGINT,
    b16 BIGINT,
    b17 BIGINT,
    b18 BIGINT,
    b19 BIGINT,
    PRIMARY KEY (name, span_ms, start_ms, labels)
);
CREATE INDEX figures_start ON figures (span_ms, start_ms);

-- Size and age of the queues and the limits in effect (docs/operating.md#figures), by the process that evaluates alerts:
-- the highest value of each span of 10 s, a minute and an hour.
CREATE TABLE samples (
    name TEXT NOT NULL,
    span_ms BIGINT NOT NULL,
    start_ms BIGINT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (name, span_ms, start_ms)
);
CREATE INDEX samples_start ON samples (span_ms, start_ms);

-- The trace (W3C traceparent) that a job belongs to; empty unless [telemetry] traces is set.
CREATE TABLE job_traces (
    lane TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    context TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (lane, kind, key)
);
CREATE INDEX job_traces_at ON job_traces (at_ms);

-- Alerts: ids, codes and counts, no personal data. One row for each alert that is raised, or not yet told as recovered.
CREATE TABLE alert_states (
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    level INTEGER NOT NULL,
    since_ms BIGINT NOT NULL,
    -- Another level that is seen, not long enough yet, and the level that recipients were told last.
    pending INTEGER NOT NULL,
    pending_ms BIGINT NOT NULL,
    told INTEGER NOT NULL,
    told_ms BIGINT NOT NULL,
    what TEXT NOT NULL,
    way_out TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (code, subject)
);

-- Each change of a level.
CREATE TABLE alert_history (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    before_level INTEGER NOT NULL,
    level INTEGER NOT NULL,
    what TEXT NOT NULL,
    way_out TEXT NOT NULL
);
CREATE INDEX alert_history_at ON alert_history (at_ms);

-- A notice to one recipient; recipients are named by their places in the configuration, never by their addresses.
CREATE TABLE alert_deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    level INTEGER NOT NULL,
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    recipient TEXT NOT NULL,
    label TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'failed')),
    attempts BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    error TEXT NOT NULL,
    ended_ms BIGINT NOT NULL,
    token TEXT NOT NULL,
    lease_ms BIGINT NOT NULL
);
CREATE INDEX alert_deliveries_waiting ON alert_deliveries (recipient, due_ms) WHERE state = 'waiting';
CREATE INDEX alert_deliveries_at ON alert_deliveries (at_ms);

CREATE TABLE alert_silences (
    id TEXT NOT NULL PRIMARY KEY,
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    until_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    operator TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX alert_silences_until ON alert_silences (until_ms);

-- One row: the process that evaluates the rules now, and what it did last.
CREATE TABLE alert_claim (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    owner TEXT NOT NULL,
    until_ms BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    evaluated_ms BIGINT NOT NULL,
    digest_day TEXT NOT NULL,
    heartbeat_ms BIGINT NOT NULL,
    heartbeat_error TEXT NOT NULL
);
INSERT INTO alert_claim (id, owner, until_ms, revision, evaluated_ms, digest_day, heartbeat_ms, heartbeat_error)
VALUES (1, '', 0, 0, 0, '', 0, '');

-- Alarms that one process alone can see, such as those of its certificate files, as JSON.
CREATE TABLE alert_reports (
    process TEXT NOT NULL PRIMARY KEY,
    alarms TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);

-- Answers of the API that are repeated under an Idempotency-Key. id: keyed hash of caller and key; status 0: it runs.
CREATE TABLE api_answers (
    id TEXT NOT NULL PRIMARY KEY,
    request_hash TEXT NOT NULL,
    began_ms BIGINT NOT NULL,
    status INTEGER NOT NULL,
    answer TEXT NOT NULL
);
CREATE INDEX api_answers_began ON api_answers (began_ms);

-- the queue as operators see and steer it

-- Failed attempts and crashes of jobs. outcome: retry, dead or crash; code: what the job waited for then, or its class.
CREATE TABLE job_attempts (
    job_id TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job_id, at_ms, attempt)
);
CREATE INDEX job_attempts_at ON job_attempts (at_ms);

-- Dead letters that are retried or discarded together, in slices: those given up at until_ms or before, in the order of
-- (ended_ms, id), of which those up to (after_ms, after_id) are done with.
CREATE TABLE bulk_runs (
    id TEXT NOT NULL PRIMARY KEY,
    action TEXT NOT NULL CHECK (action IN ('retry', 'discard')),
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
    selection TEXT NOT NULL,
    operator TEXT NOT NULL,
    via TEXT NOT NULL,
    total BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    after_ms BIGINT NOT NULL,
    after_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    lease_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT NOT NULL,
    ended_by TEXT NOT NULL
);
CREATE INDEX bulk_runs_open ON bulk_runs (created_ms) WHERE state = 'running';
CREATE INDEX bulk_runs_when ON bulk_runs (created_ms, id);

CREATE TABLE bulk_run_jobs (
    run_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (run_id, job_id)
);
CREATE INDEX bulk_run_jobs_job ON bulk_run_jobs (job_id);
CREATE INDEX bulk_run_jobs_at ON bulk_run_jobs (at_ms);

-- Reconciles that were asked for in the admin service, the API or by wanesync runs. facts: JSON without values of people.
CREATE TABLE reconcile_runs (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('asked', 'comparing', 'planned', 'approved', 'apply_asked', 'applying', 'applied',
        'failed', 'cancelled', 'broken', 'discarded')),
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    beat_ms BIGINT NOT NULL,
    process TEXT NOT NULL,
    cancel_asked INTEGER NOT NULL,
    facts TEXT NOT NULL
);
-- One at a time is asked for or at work.
CREATE UNIQUE INDEX reconcile_runs_active ON reconcile_runs (active) WHERE active = 1;

-- The plan of a run, line by line as in a plan file, and the differences that no reconcile repairs.
CREATE TABLE reconcile_items (
    id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    is_planned INTEGER NOT NULL CHECK (is_planned IN (0, 1)),
    hubspot_id TEXT NOT NULL,
    stripe_id TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX reconcile_items_kind ON reconcile_items (run_id, kind, id);
CREATE INDEX reconcile_items_contact ON reconcile_items (hubspot_id) WHERE hubspot_id <> '';
CREATE INDEX reconcile_items_customer ON reconcile_items (stripe_id) WHERE stripe_id <> '';

-- Crowds: records that a source changed, as each door counted them. The source is a keyed hash.
CREATE TABLE source_counts (
    id TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    records BIGINT NOT NULL
);
CREATE INDEX source_counts_source ON source_counts (source, at_ms);
CREATE INDEX source_counts_when ON source_counts (at_ms);

-- Hot tables of Postgres: each synced person leaves some ten dead rows within seconds, and the default waits until a fifth
-- of a table is dead. docs/operating.md#postgres
ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE events SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE records SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE links SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE pending_writes SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE purchases SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE emails SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE processes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE rates SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE locks SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE settings SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE pauses SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE open_creates SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE figures SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
