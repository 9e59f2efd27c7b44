-- Journals of runs in rooms that do not follow them any more. A run that comes back goes on where its journal there stands.
CREATE TABLE left_journals (
    id        INTEGER PRIMARY KEY,
    run       BLOB    NOT NULL,
    room      TEXT    NOT NULL,
    published INTEGER NOT NULL,                   -- as in room_runs
    journal   TEXT    NOT NULL,                   -- as in room_runs
    UNIQUE (run, room)
) STRICT;

-- Events of rooms that this node could not decrypt yet, in their order. They stand before the place up to which their room was read.
CREATE TABLE room_sealed (
    room    TEXT    NOT NULL,
    event   TEXT    NOT NULL,
    sender  TEXT    NOT NULL,
    session TEXT    NOT NULL,               -- Megolm: whose key decrypts it
    sent_ms INTEGER NOT NULL,
    PRIMARY KEY (room, event)
) STRICT;
