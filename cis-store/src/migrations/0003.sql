-- Version 3. What waits for a human, what was answered, and what sessions say; all of it projections.

-- Prompts of sessions, what sessions ask, and approvals. Closed ones stay, for who comes late.
CREATE TABLE inbox (
    key         INTEGER PRIMARY KEY,      -- offset of the event that made it, times 2^20: one may make several
    id          TEXT    NOT NULL,         -- six letters; two may share them
    run         BLOB,                     -- ULID
    task        TEXT,
    session     BLOB,                     -- ULID; NULL: an approval
    kind        TEXT    NOT NULL,
    question    TEXT    NOT NULL,
    options     TEXT    NOT NULL,         -- JSON array
    since_ms    INTEGER NOT NULL,
    confidence  INTEGER NOT NULL,
    layer       TEXT,
    episode     INTEGER,
    hash        TEXT    NOT NULL,
    screen      TEXT    NOT NULL,
    ask         BLOB,                     -- input that made it, where the session asked
    ask_type    TEXT,
    urgency     TEXT    NOT NULL,
    thread      TEXT,
    waits       INTEGER NOT NULL,         -- its session does nothing until it is answered
    until_ms    INTEGER,
    answered_ms INTEGER,
    answer      TEXT,                     -- JSON
    input       BLOB,                     -- of the answer
    closed_ms   INTEGER,
    closed      TEXT,                     -- answered, withdrawn, recovered, expired, ended
    detail      TEXT                      -- what else is to be said of its end
) STRICT;
CREATE INDEX inbox_id ON inbox (id);
CREATE INDEX inbox_open ON inbox (session) WHERE closed_ms IS NULL;
CREATE INDEX inbox_episodes ON inbox (session, episode);

CREATE TABLE thread_messages (
    key    INTEGER PRIMARY KEY,           -- offset of its event
    thread TEXT    NOT NULL,
    at_ms  INTEGER NOT NULL,
    by     TEXT    NOT NULL,              -- a session, or the name of whoever answered
    what   TEXT    NOT NULL,
    text   TEXT    NOT NULL,
    item   TEXT
) STRICT;
CREATE INDEX thread_messages_thread ON thread_messages (thread);

-- What a session told last.
CREATE TABLE session_said (
    session BLOB PRIMARY KEY,
    kind    TEXT    NOT NULL,
    text    TEXT    NOT NULL,
    percent INTEGER,
    at_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
