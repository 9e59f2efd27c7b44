-- Rules of the node's own policy. A removed rule leaves its number, which is never given again.
CREATE TABLE policy_rules (
    number   INTEGER PRIMARY KEY,
    rule     TEXT,                      -- JSON; NULL: removed
    by       TEXT    NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT;
