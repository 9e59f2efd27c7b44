-- Tasks that this node has for coordinators of rooms: what it does not forget when its process ends.
CREATE TABLE held (
    task TEXT PRIMARY KEY,              -- run/task
    what TEXT NOT NULL                  -- JSON
) STRICT, WITHOUT ROWID;
