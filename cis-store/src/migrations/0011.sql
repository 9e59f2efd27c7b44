-- Journals of runs in rooms that do not follow them any more. A run that comes back goes on where its journal there stands.
CREATE TABLE left_journals (
    id        INTEGER PRIMARY KEY,
    run       BLOB    NOT NULL,
    room      TEXT    NOT NULL,
    published INTEGER NOT NULL,                   -- as in room_runs
    journal   TEXT    NOT NULL,                   -- as in room_runs
    UNIQUE (run, room)
) STRICT;
