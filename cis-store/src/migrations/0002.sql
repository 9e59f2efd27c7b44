-- Version 2. What the whole DAG language leaves beside tasks, and the node's groups; all of it projections.

CREATE TABLE task_artifacts (
    run       INTEGER NOT NULL,
    idx       INTEGER NOT NULL,
    artifacts TEXT    NOT NULL,           -- JSON array of path, blob, size
    PRIMARY KEY (run, idx)
) STRICT, WITHOUT ROWID;

-- Tasks with foreach that became their items: the present list has so many, ID.1 to ID.count.
CREATE TABLE task_items (
    run   INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (run, idx)
) STRICT, WITHOUT ROWID;

-- Tasks that wait for a human's approval now.
CREATE TABLE approvals (
    run      INTEGER NOT NULL,
    idx      INTEGER NOT NULL,
    prompt   TEXT    NOT NULL,
    until_ms INTEGER,
    PRIMARY KEY (run, idx)
) STRICT, WITHOUT ROWID;

-- Groups that commands made.
CREATE TABLE node_groups (
    name              TEXT    PRIMARY KEY,
    places            INTEGER NOT NULL,
    frees_when_blocked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
