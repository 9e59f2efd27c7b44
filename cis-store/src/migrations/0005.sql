-- Version 5. What rooms were told and what they said. None of it is a projection: others have seen it.

-- What waits to be sent. Where what is sent can change until then (a card, a question), `payload` is empty, and
-- what is true at that moment is sent.
DROP INDEX outbox_due;
DROP TABLE outbox;
CREATE TABLE outbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,   -- with the node's name, the key by which a room takes it once
    room     TEXT    NOT NULL,
    priority INTEGER NOT NULL,
    what     TEXT    NOT NULL,                    -- journal, card, question, …
    run      BLOB,                                -- ULID
    item     TEXT,                                -- of the inbox, or a task
    payload  TEXT    NOT NULL,
    due_ms   INTEGER NOT NULL,
    tries    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_due ON outbox (priority, due_ms);
CREATE INDEX outbox_of ON outbox (run, what, item);

-- Runs that a room follows.
CREATE TABLE room_runs (
    run       BLOB PRIMARY KEY,
    room      TEXT    NOT NULL,
    told      INTEGER NOT NULL,                   -- offset up to which people's messages were queued
    published INTEGER NOT NULL,                   -- offset up to which events are in the journal
    journal   TEXT    NOT NULL                    -- JSON: where the journal stands
) STRICT, WITHOUT ROWID;

-- Messages of ours that are edited, replied to or answered.
CREATE TABLE room_messages (
    event TEXT PRIMARY KEY,                       -- event id
    room  TEXT NOT NULL,
    what  TEXT NOT NULL,
    run   BLOB,
    item  TEXT,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX room_messages_of ON room_messages (run, what, item);

-- What we count and remember for each room.
CREATE TABLE rooms (
    room        TEXT PRIMARY KEY,
    incarnation INTEGER NOT NULL,                 -- of our numbering; a new one after an unclean end
    seq         INTEGER NOT NULL,                 -- the newest number that was given
    token       TEXT                              -- up to where it was read; what was read is done
) STRICT, WITHOUT ROWID;
