-- Version 1. `events` is the truth: rows are added, never changed. runs, run_facts, tasks, task_needs,
-- task_outputs, sessions and places are projections of it (`cis store rebuild` makes them anew).
-- What changes often is kept apart from what is large: an UPDATE rewrites its whole row.

CREATE TABLE events (
    offset INTEGER PRIMARY KEY,
    id     BLOB    NOT NULL,            -- ULID, 16 bytes, big endian
    run    BLOB,                        -- ULID of the run
    v      INTEGER NOT NULL,            -- schema version of the body
    type   TEXT    NOT NULL,            -- cis.dag.…
    at_ms  INTEGER NOT NULL,
    actor  TEXT,                        -- JSON; NULL: this node by itself
    cause  BLOB,                        -- ULID of the input
    body   TEXT    NOT NULL             -- JSON
) STRICT;
CREATE INDEX events_run ON events (run) WHERE run IS NOT NULL;
CREATE INDEX events_audit ON events (at_ms) WHERE actor IS NOT NULL;

CREATE TRIGGER events_never_change BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_never_go BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never removed'); END;

-- Who did what: everything that somebody asked for, and what was refused.
CREATE VIEW audit AS
    SELECT offset, at_ms, actor, type, run, cause, body FROM events WHERE actor IS NOT NULL;

CREATE TABLE runs (
    key        INTEGER PRIMARY KEY,     -- offset of the event that made it
    id         BLOB    NOT NULL UNIQUE,
    dag        TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    mode       TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    room       TEXT,
    parent     TEXT,
    epoch      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    started_ms INTEGER,
    ended_ms   INTEGER,
    detail     TEXT,
    cancelling INTEGER NOT NULL DEFAULT 0,
    counts     TEXT                     -- JSON, tasks by state; only of ended runs, others are counted
) STRICT;
CREATE INDEX runs_dag ON runs (dag);
CREATE INDEX runs_open ON runs (created_ms) WHERE ended_ms IS NULL;

CREATE TABLE run_facts (
    run          INTEGER PRIMARY KEY,
    spec         TEXT    NOT NULL,      -- blob
    params       TEXT    NOT NULL,      -- JSON
    workdir      TEXT    NOT NULL,
    base_env     TEXT,                  -- secret blob
    max_parallel INTEGER NOT NULL,
    seeded       INTEGER NOT NULL       -- how many of its tasks came with its file: the first ones
) STRICT;

CREATE TABLE tasks (
    run      INTEGER NOT NULL,
    idx      INTEGER NOT NULL,          -- place in the file
    id       TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    session  BLOB,                      -- of the newest attempt
    reason   TEXT,
    PRIMARY KEY (run, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_needs (
    run   INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    needs TEXT    NOT NULL,             -- JSON array of idx
    PRIMARY KEY (run, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_outputs (
    run     INTEGER NOT NULL,
    idx     INTEGER NOT NULL,
    outputs TEXT    NOT NULL,           -- JSON object of redacted values
    PRIMARY KEY (run, idx)
) STRICT, WITHOUT ROWID;

-- Sessions created alone and those of attempts. An attempt is its session: attempt, fence, place,
-- outcome and prev (the session of the attempt before) are its columns here.
CREATE TABLE sessions (
    id         BLOB    PRIMARY KEY,
    run        INTEGER,
    task       INTEGER,
    attempt    INTEGER,
    fence      INTEGER,
    prev       BLOB,
    place      INTEGER,
    name       TEXT,
    state      TEXT    NOT NULL,
    pid        INTEGER,
    created_ms INTEGER NOT NULL,
    started_ms INTEGER,
    ended_ms   INTEGER,
    exit_code  INTEGER,
    outcome    TEXT,
    detail     TEXT,
    log_bytes  INTEGER,
    tty        INTEGER NOT NULL DEFAULT 1,  -- this and the rest: facts that no event holds
    cols       INTEGER,
    rows       INTEGER,
    command    TEXT,
    log        TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_name ON sessions (name) WHERE name IS NOT NULL;
CREATE INDEX sessions_alone ON sessions (created_ms) WHERE run IS NULL AND ended_ms IS NULL;

-- Where attempts ran: a node, and the life of its session host.
CREATE TABLE places (
    key  INTEGER PRIMARY KEY,
    node TEXT NOT NULL,
    host BLOB
) STRICT;

CREATE TABLE outbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    target   TEXT    NOT NULL,
    priority INTEGER NOT NULL,
    payload  TEXT    NOT NULL,
    due_ms   INTEGER NOT NULL,
    tries    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_due ON outbox (priority, due_ms);

-- Inputs that were taken, and what each made: repeated, they count once.
CREATE TABLE inputs (
    id   BLOB PRIMARY KEY,
    what TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
